"""The Autobahn test suite against a listener that echoes, on the settings that it serves with."""

import asyncio
import logging

import pytest
from kosoku import FailureError, run_fuzzingclient
from websockets.asyncio.server import ServerConnection

from tapecast.server import Listener
from tapecast.server.subscriber import Subscriber

from .server_fakes import Serve


class EchoListener(Listener):
    """Sends back whatever it gets."""

    async def _converse(
        self, connection: ServerConnection, _subscriber: Subscriber, idle: asyncio.Timeout
    ) -> None:
        idle.reschedule(None)
        async for frame in connection:
            await connection.send(frame)


async def failures(url: str, cases: list[str]) -> tuple[int, set[str]]:
    """Return how many cases were run, and those that failed."""
    try:
        results = await run_fuzzingclient(url, cases=cases, concurrency=4)
    except FailureError as failed:
        results = failed.results
    return len(results), {result.case_id for result in results if not result.passed}


# The suite's own cases leave files open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize(
    ("compression", "cases", "count"),
    [
        (False, ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"], 247),
        (True, ["12.1.1", "12.1.5", "12.4.5", "13.1.1", "13.3.1", "13.7.1"], 6),
    ],
    ids=["plain", "compressed"],
)
async def test_no_case_fails_but_what_the_library_documents(
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    *,
    compression: bool,
    cases: list[str],
    count: int,
) -> None:
    caplog.set_level(logging.CRITICAL, logger="websockets.server")
    async with serve(kind=EchoListener, compression=compression, max_frame_bytes=1 << 20) as served:
        url = f"ws://127.0.0.1:{served.listener.port}/ws/status"
        # 7.1.5: a close between two fragments of a message that is not valid as text; websockets
        # decodes a message when it is complete.
        assert await failures(url, cases) == (count, set() if compression else {"7.1.5"})
