"""Loops of the daemon's tests."""

import asyncio
import sys
from collections.abc import Callable

import pytest

_ON_EACH_LOOP = {"test_daemon_supervision.py"}


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run what depends on the loop itself on each loop that the daemon may run on."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.path.name in _ON_EACH_LOOP and sys.platform != "win32":
        import uvloop  # noqa: PLC0415 -- there is none on Windows

        loops["uvloop"] = uvloop.new_event_loop
    return loops
