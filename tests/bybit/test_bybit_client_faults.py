"""A line against peers that fail in every way, over real sockets."""

import asyncio
import http
import json
import logging
import random
import socket
from collections.abc import Coroutine

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosedError
from websockets.http11 import Request, Response

from tapecast.bybit import Timing, WebSockets, client
from tapecast.bybit.addresses import Addresses
from tapecast.sim.exchange import SimExchange, SimSettings

from .bybit_fakes import (
    LIMIT_S,
    ManualClock,
    Recorder,
    RetryClock,
    acknowledge,
    line_config,
    peer,
    running,
    tcp_peer,
)

TRADE = b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1,"data":[]}'


async def accept(connection: ServerConnection) -> None:
    """Accept one subscription, then take everything in silence."""
    await acknowledge(connection)
    async for _ in connection:
        pass


# Connecting


@pytest.mark.parametrize(
    ("status", "least_s", "most_s"),
    [
        (403, 600.0, 660.0),
        (429, 600.0, 660.0),
        (404, 0.0, 0.25),
        (500, 0.0, 0.25),
        (503, 0.0, 0.25),
    ],
)
async def test_a_refused_upgrade_is_not_fatal_and_the_line_goes_on(
    status: int, least_s: float, most_s: float
) -> None:
    """U7: HTTP 403 or 429 on upgrade."""
    answers = [http.HTTPStatus(status)]

    def refuse_once(connection: ServerConnection, _request: Request) -> Response | None:
        return connection.respond(answers.pop(), "") if answers else None

    clock = RetryClock()
    async with (
        peer(accept, process_request=refuse_once) as url,
        running(line_config(url), clock) as (line, sink),
    ):
        await sink.until_subscribed()
        assert sink.reasons == [f"cannot connect: HTTP {status}"]
        assert least_s <= clock.waits[0] <= most_s
        assert line.reconnects_total == 1
        # The first connection was never had, so nothing was lost with it.
        assert sink.lost == []


async def test_a_redirect_is_refused() -> None:
    """U7: no redirect to another host is followed."""
    async with asyncio.timeout(LIMIT_S), SimExchange(SimSettings(live=False)) as sim:
        location = f"{sim.ws_url}/linear"

        def redirect(connection: ServerConnection, _request: Request) -> Response:
            response = connection.respond(http.HTTPStatus.FOUND, "")
            response.headers["Location"] = location
            return response

        async with (
            peer(accept, process_request=redirect) as url,
            running(line_config(url), RetryClock(0)) as (_, sink),
        ):
            await sink.until_reconnecting()
            assert sink.reasons == ["cannot connect: HTTP 302"]
            assert sim.connections == 0


async def test_a_peer_that_accepts_and_never_answers_is_given_up_in_time() -> None:
    """U5: slow handshake."""

    async def nothing(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with tcp_peer(nothing) as port:
        config = line_config(f"ws://127.0.0.1:{port}", open_timeout_s=0.05)
        async with running(config, RetryClock(2)) as (_, sink):
            await sink.until_reconnecting(3)
            assert sink.reasons == ["cannot connect: no connection within 0.05 s"] * 3


async def test_a_peer_that_speaks_no_http_is_no_reason_to_stop() -> None:
    async def chatter(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        writer.close()

    async with (
        tcp_peer(chatter) as port,
        running(line_config(f"ws://127.0.0.1:{port}"), RetryClock(0)) as (_, sink),
    ):
        await sink.until_reconnecting()
        assert sink.reasons == ["cannot connect: did not receive a valid HTTP response"]


async def test_refused_connections_are_tried_again_within_ordinary_waits() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        config = line_config(f"ws://127.0.0.1:{taken.getsockname()[1]}")
        clock = RetryClock(3)
        async with running(config, clock) as (line, sink):
            await sink.until_reconnecting(4)
            assert all(reason.startswith("cannot connect: [Errno") for reason in sink.reasons)
            assert clock.waits[:3] == [0.25, 0.5, 1.0]
            assert line.reconnects_total == 4


async def test_a_name_that_cannot_be_looked_up_is_tried_again() -> None:
    """U4: DNS failure."""

    def fail(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    clock = RetryClock(1)
    opener = WebSockets(Addresses(fail))
    config = line_config("wss://stream.invalid")
    async with running(config, clock, opener=opener) as (line, sink):
        await sink.until_reconnecting(2)
        text = f"cannot connect: [Errno {socket.EAI_NONAME}] Name or service not known"
        assert sink.reasons == [text, text]
        assert clock.waits[0] == 0.25
        assert line.closes["dns"] == 2


async def test_the_proxy_of_the_settings_is_used() -> None:
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    async with tcp_peer(refuse) as port:
        config = line_config("ws://stream.invalid:80", proxy=f"http://127.0.0.1:{port}")
        clock = RetryClock(1)
        async with running(config, clock) as (_, sink):
            await sink.until_reconnecting(2)
            assert asked[0] == b"CONNECT stream.invalid:80 HTTP/1.1\r\n"
            assert sink.reasons[0] == "cannot connect: proxy rejected connection: HTTP 403"
            assert clock.waits[0] == 0.25


# Conversing


async def test_silence_makes_a_line_stale_and_ends_it_without_a_farewell() -> None:
    ended = asyncio.Event()

    async def silent(connection: ServerConnection) -> None:
        await acknowledge(connection)
        await connection.wait_closed()
        # No close frame: a dead peer is not waited for.
        assert connection.close_code == 1006
        ended.set()

    clock = ManualClock()
    async with peer(silent) as url, running(line_config(url), clock) as (_, sink):
        await sink.until_subscribed()
        await clock.advance(30.0)
        await sink.until_reconnecting()
        text = "line linear-1 was silent for 30.0 s, expected at most 30.0 s"
        assert sink.states == [
            ("connecting", ""),
            ("connected", ""),
            ("stale", text),
            ("reconnecting", text),
        ]
        # What was received ends with the last sign of life, not with its discovery.
        assert sink.subscribed == [(["BTCUSDT"], 1_000_000)]
        assert sink.lost == [(["BTCUSDT"], 1_000_000)]
        await ended.wait()


async def test_pings_go_out_every_twenty_seconds_and_pongs_keep_a_quiet_line() -> None:
    pings: asyncio.Queue[str] = asyncio.Queue()

    async def answer(connection: ServerConnection) -> None:
        await acknowledge(connection)
        async for request in connection:
            await connection.send('{"args":["1672916271846"],"op":"pong"}')
            # A frame that means nothing shows that the pong before it was read.
            await connection.send("{}")
            pings.put_nowait(str(request))

    clock = ManualClock()
    async with peer(answer) as url, running(line_config(url), clock) as (line, sink):
        await sink.until_subscribed()
        for number in range(1, 7):
            await clock.advance(20.0)
            ping = json.loads(await pings.get())
            assert ping == {"req_id": f"linear-1-{number + 1}", "op": "ping"}
            # Counted while the line lives, for the figures of every second.
            while line.unknown_frames_total < number:  # noqa: ASYNC110 -- nobody tells of it
                await asyncio.sleep(0)
        assert sink.states == [("connecting", ""), ("connected", "")]


async def test_data_without_pongs_keeps_a_line_and_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """U11: pongs are missing, data flows."""

    async def deaf(connection: ServerConnection) -> None:
        await acknowledge(connection)
        async for _ in connection:
            await connection.send(TRADE.decode())

    clock = ManualClock()
    async with peer(deaf) as url, running(line_config(url), clock) as (_, sink):
        await sink.until_subscribed()
        for number in range(1, 6):
            await clock.advance(20.0)
            await sink.until_frames(number)
        assert sink.reasons == []
    assert [record.getMessage() for record in caplog.records if record.name.startswith("tape")] == [
        "line linear-1: pings are unanswered, data comes"
    ]


async def test_a_subscription_without_a_reply_ends_the_connection() -> None:
    """U9: no acknowledgement."""

    async def mute(connection: ServerConnection) -> None:
        async for _ in connection:
            pass

    clock = ManualClock()
    async with peer(mute) as url, running(line_config(url), clock) as (_, sink):
        await clock.advance(5.0)
        await sink.until_reconnecting()
        assert sink.reasons == ["no reply to a subscription within 5 s"]
        assert sink.lost == []
        assert "stale" not in dict(sink.states)


async def test_data_before_the_ack_is_handed_on() -> None:
    async def eager(connection: ServerConnection) -> None:
        await connection.send(TRADE.decode())
        await acknowledge(connection)
        await connection.wait_closed()

    async with peer(eager) as url, running(line_config(url)) as (_, sink):
        await sink.until_subscribed()
        assert sink.frames == [TRADE]


async def test_frames_reach_the_sink_as_they_came_text_and_binary_and_broken() -> None:
    frames = [TRADE, b'{"topic":"publicTrade.BTCUSDT","data":[', b"\xff\xfe", b"no JSON"]

    async def send(connection: ServerConnection) -> None:
        await acknowledge(connection)
        for frame in frames:
            await connection.send(frame, text=frame != b"no JSON")
        await connection.wait_closed()

    async with peer(send) as url, running(line_config(url)) as (_, sink):
        await sink.until_frames(4)
        assert sink.frames == frames
        assert sink.reasons == []


async def test_frames_that_came_before_a_close_are_all_handed_on() -> None:
    async def send_and_close(connection: ServerConnection) -> None:
        await acknowledge(connection)
        for _ in range(100):
            await connection.send(TRADE.decode())
        await connection.close(1012)

    async with peer(send_and_close) as url, running(line_config(url), RetryClock(0)) as (_, sink):
        await sink.until_reconnecting()
        assert len(sink.frames) == 100
        assert sink.reasons == ["closed by the exchange: 1012"]


async def test_frames_that_came_before_a_request_found_the_line_closed_are_all_handed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def send_and_close(connection: ServerConnection) -> None:
        for _ in range(10):
            await connection.send(TRADE.decode())
        await connection.close(1012)

    async def too_late(sending: Coroutine[object, object, object], _seconds: float) -> None:
        sending.close()
        raise ConnectionClosedError(None, None)

    # What is sent finds the connection closed before the receiver has read anything.
    monkeypatch.setattr(client, "_within", too_late)
    async with peer(send_and_close) as url, running(line_config(url), RetryClock(0)) as (_, sink):
        await sink.until_reconnecting()
        assert len(sink.frames) == 10
        assert sink.reasons == ["closed by the exchange: 1012"]


async def test_a_frame_over_two_mebibytes_ends_the_connection() -> None:
    async def flood(connection: ServerConnection) -> None:
        await acknowledge(connection)
        await connection.send("x" * ((2 << 20) + 1))

    async with peer(flood) as url, running(line_config(url)) as (_, sink):
        await sink.until_reconnecting()
        assert sink.reasons[0].startswith("closed by us: 1009 ")
        await sink.until_subscribed(2)


async def test_a_rejected_symbol_is_asked_for_again_and_taken_back() -> None:
    """U9: a refused symbol is asked for again."""
    asked: list[list[str]] = []

    async def change_of_mind(connection: ServerConnection) -> None:
        async for message in connection:
            request = json.loads(message)
            asked.append(request["args"])
            text = f"Invalid symbol :[{request['args'][0]}]" if len(asked) == 1 else "subscribe"
            reply = {"success": len(asked) > 1, "ret_msg": text, "req_id": request["req_id"]}
            await connection.send(json.dumps(reply | {"op": "subscribe"}))

    timing = Timing(retry_rejected_s=0.01)
    async with (
        peer(change_of_mind) as url,
        running(line_config(url, "NEWUSDT", timing=timing)) as (_, sink),
    ):
        await sink.until_subscribed()
        assert sink.rejected == [("NEWUSDT", "Invalid symbol :[publicTrade.NEWUSDT]")]
        assert asked == [["publicTrade.NEWUSDT"]] * 2
        assert [names for names, _ in sink.subscribed] == [["NEWUSDT"]]


# Mistakes of our own


async def test_a_keeper_that_dies_ends_the_connection_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(RetryClock):
        """A clock that fails whoever looks after the first connection."""

        failures = 1

        async def sleep(self, seconds: float) -> None:
            task = asyncio.current_task()
            if self.failures and task is not None and task.get_name().endswith("-keeper"):
                self.failures -= 1
                raise ZeroDivisionError("in the clock")
            await super().sleep(seconds)

    async with peer(accept) as url, running(line_config(url), Failing()) as (_, sink):
        await sink.until_subscribed(1)
        await sink.until_reconnecting()
        assert sink.reasons == ["ZeroDivisionError: in the clock"]
    (record,) = [one for one in caplog.records if one.name.startswith("tapecast")]
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "line linear-1 failed")
    assert record.exc_info


async def test_a_sink_that_raises_costs_a_connection_but_not_the_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def send(connection: ServerConnection) -> None:
        await acknowledge(connection)
        await connection.send(TRADE.decode())
        await connection.wait_closed()

    sink = Recorder(fail_on_frame=True)
    async with peer(send) as url, running(line_config(url), sink=sink):
        await sink.until_reconnecting()
        assert sink.reasons == ["ZeroDivisionError: in the sink"]
        sink.fail_on_frame = False
        await sink.until_frames(2)
    assert "line linear-1 failed" in caplog.text


async def test_a_line_that_is_cancelled_while_it_waits_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        config = line_config(f"ws://127.0.0.1:{taken.getsockname()[1]}")
        async with running(config, RetryClock(0)) as (_, sink):
            await sink.until_reconnecting()
    assert [state for state, _ in sink.states] == ["connecting", "reconnecting", "closed"]
    assert sink.lost == []


async def test_random_cuts_never_stop_a_line() -> None:
    rng = random.Random(5)

    async def cut(connection: ServerConnection) -> None:
        if rng.random() < 0.5:
            await acknowledge(connection)
        match rng.randrange(4):
            case 0:
                connection.transport.abort()
            case 1:
                await connection.close(rng.choice([1000, 1001, 1011, 1012, 4000]))
            case 2:
                connection.transport.write(rng.randbytes(40))
            case _:
                connection.transport.write(b"\x81\x7e\x00")
        connection.transport.close()

    async with peer(cut) as url, running(line_config(url), RetryClock(60)) as (line, sink):
        await sink.until_reconnecting(60)
        assert line.reconnects_total >= 60
