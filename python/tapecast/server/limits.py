"""The limits that keep one client from hurting the server or the others."""

from dataclasses import dataclass

from tapecast.messages.fields import SlowPolicy

__all__ = ["ServerLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Every limit of the server, with its default.

    Attributes:
        max_clients: WebSocket connections at a time; further ones are answered 503.
        max_command_bytes: Size of one command; a longer one is answered `too_large`.
        max_frame_bytes: Size of one inbound message that is read at all; beyond it the connection
            is closed (1009).
        commands_per_s: Commands per second that a client may send in the long run.
        command_burst: Commands that it may send at once.
        max_errors_in_row: Errors without a good command between them, at which the connection is
            closed (1008).
        slow_policy: What becomes of the messages of a client over the soft limit, unless it asks
            for something else: the newest of each kind is kept (`conflate`), nothing is (`drop`),
            or they are written all the same, until it is cut off (`disconnect`).
        soft_pending_bytes: Bytes that may wait for a client, snapshots aside, before it is slow.
        max_pending_bytes: Bytes that may wait for a client, snapshots aside and what is withheld
            from it included, before it is cut off.
        slow_after_s: Time over the soft limit after which a client is cut off.
        send_buffer_bytes: What the kernel is asked to hold for a client; Linux takes twice as much.
        compression: Whether messages are compressed for clients that offer it.
        flush_bytes: Bytes that are written to one client before others get a turn.
        max_queued_bytes: Bytes that may wait in the hub for the broadcaster; beyond it, publishing
            writes at once.
        resume_max_messages: Messages kept for clients that come back.
        resume_max_bytes: Bytes of messages kept for them.
        resume_max_age_s: How much older than the newest message any of them may be.
        accept_per_s: Handshakes per second, and at once; further ones are answered 503.
        max_clients_per_address: WebSocket connections of one address at a time, this host's aside;
            further ones are answered 503.
        retry_after_s: When a client that was answered 503 should come back at the latest; each is
            told a time of its own, so that they do not come back together.
        handshake_timeout_s: Time for the opening handshake, from the first byte or none.
        idle_timeout_s: Time within which a client must have subscribed.
        ping_interval_s: Time between keepalive pings.
        ping_timeout_s: Time within which a ping must be answered.
        close_timeout_s: Time for the closing handshake of one connection.
        shutdown_timeout_s: Time within which the listener is closed, whatever its clients do.
    """

    max_clients: int = 1000
    max_command_bytes: int = 4096
    max_frame_bytes: int = 65_536
    commands_per_s: float = 20.0
    command_burst: int = 40
    max_errors_in_row: int = 10
    slow_policy: SlowPolicy = "conflate"
    soft_pending_bytes: int = 262_144
    max_pending_bytes: int = 1_048_576
    slow_after_s: float = 1.9
    send_buffer_bytes: int = 131_072
    compression: bool = False
    flush_bytes: int = 65_536
    max_queued_bytes: int = 16_777_216
    resume_max_messages: int = 500_000
    resume_max_bytes: int = 33_554_432
    resume_max_age_s: float = 120.0
    accept_per_s: int = 500
    max_clients_per_address: int = 64
    retry_after_s: int = 5
    handshake_timeout_s: float = 5.0
    idle_timeout_s: float = 10.0
    ping_interval_s: float = 15.0
    ping_timeout_s: float = 10.0
    close_timeout_s: float = 2.0
    shutdown_timeout_s: float = 3.0
