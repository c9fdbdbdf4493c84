"""What a client may say: frames in, commands or error replies out. No I/O, no clock."""

from dataclasses import dataclass
from typing import Final

from msgspec import UNSET

from tapecast.errors import CommandError
from tapecast.messages import Bye, Command, ErrorReply, Pong, Unsubscribed, encode_message
from tapecast.messages.fields import ERROR_CODES
from tapecast.server.bucket import TokenBucket
from tapecast.server.commands import ReplyId, check_size, read_command, read_id, read_object
from tapecast.server.limits import ServerLimits

__all__ = ["Close", "CommandReader", "Outcome", "bye", "pong", "unsubscribed"]

CLOSE_UNSUPPORTED: Final = 1003
CLOSE_POLICY: Final = 1008
_BYTES_PER_TOKEN: Final = 1 << 20
_CODES: Final = {str(code): code for code in ERROR_CODES}


@dataclass(frozen=True, slots=True)
class Close:
    """Why a connection must be closed.

    Attributes:
        code: WebSocket close code (RFC 6455, section 7.4).
        reason: Text for the client.
    """

    code: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one inbound frame leads to: a command, a reply, a close, or a reply and then a close.

    Attributes:
        command: What to carry out; its reply must carry `reply_id`.
        reply_id: The command's `id` as it was sent.
        reply: An error reply to send.
        close: Why to close the connection, after the reply.
    """

    command: Command | None = None
    reply_id: ReplyId = UNSET
    reply: bytes | None = None
    close: Close | None = None


class CommandReader:
    """Reads the commands of one client and holds it to the limits.

    The rate limit is a token bucket. The first command beyond it is answered `rate_limited`; a
    second one before the bucket has let a command through again is a flood, and the connection must
    be closed.

    Args:
        limits: The server's limits.
        now_s: Monotonic seconds.
    """

    def __init__(self, limits: ServerLimits, *, now_s: float) -> None:
        self._limits = limits
        self._rate = TokenBucket(
            rate=limits.commands_per_s, burst=limits.command_burst, now_s=now_s
        )
        self._errors_in_row = 0
        self._warned = False

    def receive(self, frame: str | bytes, *, now_s: float) -> Outcome:
        """Read one inbound message.

        Args:
            frame: Text of a text frame, or bytes of a binary frame.
            now_s: Monotonic seconds.
        """
        if not isinstance(frame, str):
            return Outcome(close=Close(CLOSE_UNSUPPORTED, "frame is binary, expected text"))
        allowed = self._rate.take(now_s)
        if not allowed and self._warned:
            rate = self._limits.commands_per_s
            return Outcome(
                close=Close(CLOSE_POLICY, f"command flood, expected at most {rate:g} commands/s")
            )
        self._warned = not allowed
        reply_id: ReplyId = UNSET
        try:
            check_size(frame, self._limits.max_command_bytes)
            document = read_object(frame)
            reply_id = read_id(frame, document)
            command = read_command(document)
        except CommandError as error:
            return self._refuse(error if allowed else self._rate_limited(), reply_id)
        if not allowed:
            return self._refuse(self._rate_limited(), reply_id)
        self._errors_in_row = 0
        return Outcome(command=command, reply_id=reply_id)

    def charge(self, reply_bytes: int) -> None:
        """Count a large reply as as many commands as it has mebibytes: making it takes time."""
        # Never more than what is left: who asked for much waits, and is no flood for it.
        self._rate.charge(reply_bytes / _BYTES_PER_TOKEN)

    def _rate_limited(self) -> CommandError:
        """Return the error of a command beyond the rate."""
        rate, burst = self._limits.commands_per_s, self._limits.command_burst
        return CommandError(
            "rate_limited",
            f"more than {burst} commands at once, expected at most {rate:g} commands/s",
        )

    def _refuse(self, error: CommandError, reply_id: ReplyId) -> Outcome:
        """Return the error's reply, and the close if there were too many in a row."""
        self._errors_in_row += 1
        reply = encode_message(
            ErrorReply(code=_CODES[error.code], message=error.reason, id=reply_id)
        )
        close = None
        if self._errors_in_row >= self._limits.max_errors_in_row:
            close = Close(CLOSE_POLICY, f"{self._errors_in_row} errors in a row")
        return Outcome(reply=reply, reply_id=reply_id, close=close)


def pong(*, timestamp_ms: int, reply_id: ReplyId) -> bytes:
    """Return the reply to a ping."""
    return encode_message(Pong(timestamp=timestamp_ms, id=reply_id))


def unsubscribed(*, reply_id: ReplyId) -> bytes:
    """Return the reply to an unsubscribe."""
    return encode_message(Unsubscribed(id=reply_id))


def bye(*, retry_ms: int) -> bytes:
    """Return what a subscriber is told before the server closes its connection."""
    return encode_message(Bye(retry_ms=retry_ms))
