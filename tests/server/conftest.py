"""A listener on a free port, with the hub's tasks running."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tapecast.server import Access, Hub, Listener, Reports, ServerLimits

from .server_fakes import FakeClock, FakeEngine, Serve, Served

_OVER_SOCKETS = {
    "test_server_abuse.py",
    "test_server_closing.py",
    "test_server_listener.py",
    "test_server_sockets.py",
    "test_server_tls.py",
}


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run what talks over real sockets on each loop that the daemon may run on."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.path.name in _OVER_SOCKETS and sys.platform != "win32":
        import uvloop  # noqa: PLC0415 -- there is none on Windows

        loops["uvloop"] = uvloop.new_event_loop
    return loops


@pytest.fixture
def serve() -> Serve:
    """Return what starts a listener with some limits changed."""

    @asynccontextmanager
    async def start(
        *,
        kind: type[Listener] = Listener,
        host: str = "127.0.0.1",
        access: Access | None = None,
        tls: ssl.SSLContext | None = None,
        reports: Reports | None = None,
        **limits: float | str,
    ) -> AsyncIterator[Served]:
        engine, clock = FakeEngine(), FakeClock()
        hub = Hub(engine, limits=ServerLimits(**limits))  # type: ignore[arg-type]  # some are int
        broadcaster = asyncio.create_task(hub.run(clock))
        made = kind(hub, clock, host=host, port=0, access=access, tls=tls, reports=reports)
        try:
            async with asyncio.timeout(30), made as listener:
                yield Served(engine, clock, hub, listener)
        finally:
            broadcaster.cancel()
            await asyncio.gather(broadcaster, return_exceptions=True)

    return start
