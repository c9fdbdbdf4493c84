"""Runs what talks over real sockets on each loop that the daemon may run on."""

import asyncio
import sys
from collections.abc import Callable

import pytest


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return the loops of a test."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.path.name.startswith("test_bybit_client") and sys.platform != "win32":
        import uvloop  # noqa: PLC0415 -- there is none on Windows

        loops["uvloop"] = uvloop.new_event_loop
    return loops
