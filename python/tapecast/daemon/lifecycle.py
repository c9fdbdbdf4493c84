"""A process from the start of its event loop to the signal that ends it."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any, Final

from tapecast.server import listen_error

__all__ = ["calm_collector", "check_address", "run_until_signal"]

_LOGGER = logging.getLogger(__name__)

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_BY_SIGNAL: Final = 128
"""What shells add to the number of the signal that ended a process."""

_CLOSE_S: Final = 0.2
_NEW_OBJECTS: Final = 10_000
_YOUNG_PASSES: Final = 10
_MIDDLE_PASSES: Final = 100


def calm_collector() -> None:
    """Keep Python's collector of cycles from holding up the loop; to be called once all is made.

    What is there by now is never looked at again, and what is made later less often: with a
    thousand clients a full pass took 80 ms. The stream itself makes no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, _YOUNG_PASSES, _MIDDLE_PASSES)


def check_address(host: str, port: int) -> None:
    """Find out whether an address can be listened on, before anything else is begun.

    Args:
        host: Name or address.
        port: Port; any free one will do where it is 0.

    Raises:
        OSError: If not; `strerror` names the address and says why.
    """
    kind, passive = socket.SOCK_STREAM, socket.AI_PASSIVE
    try:
        for family, _, proto, _, address in socket.getaddrinfo(
            host, port, type=kind, flags=passive
        ):
            with socket.socket(family, kind, proto) as probe:
                if sys.platform != "win32":
                    # As for the real one: addresses of connections that are over are free.
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
                probe.listen(1)
    except OSError as error:
        raise listen_error(host, port, error) from error


def run_until_signal(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine that ends when its event is set, which the first SIGINT or SIGTERM does.

    A second signal ends the process at once, with the exit code that shells give to a process which
    a signal ended. uvloop is used where it is installed.

    Args:
        main: Makes the coroutine of the event.
    """

    async def until_signal() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.set_default_executor(_Threads(thread_name_prefix="waiting"))

        def end(number: signal.Signals) -> None:
            _LOGGER.info("%s: ending; a second one ends at once", number.name)
            stop.set()
            for each in _SIGNALS:
                loop.remove_signal_handler(each)
                # As the first process of a container it would not be ended by the default action.
                signal.signal(each, _end_at_once)

        if sys.platform == "win32":
            # Ctrl-C arrives as a KeyboardInterrupt, which cancels the coroutine.
            await main(stop)
            return
        for number in _SIGNALS:
            loop.add_signal_handler(number, end, number)
        await main(stop)

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(until_signal())


def _end_at_once(number: int, _frame: FrameType | None) -> None:
    os._exit(_BY_SIGNAL + number)


class _Threads(ThreadPoolExecutor):
    """Threads that the end of the loop does not wait for: an answer of a resolver takes long."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 -- the library's signature
        super().shutdown(wait=False, cancel_futures=True)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 -- not there on every platform
    except ImportError:
        return None

    class Loop(uvloop.Loop):
        """A loop whose end does not wait for its own threads, in which names are resolved."""

        def close(self) -> None:
            # What of signals can be given back in this thread alone, is not left to the other one,
            # which would complain.
            signal.set_wakeup_fd(-1)
            logging.getLogger("asyncio").addFilter(_is_not_about_signals)
            closing = threading.Thread(target=super().close, name="closing")
            closing.start()
            closing.join(_CLOSE_S)

    return Loop


def _is_not_about_signals(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("cannot cleanup signal handlers")
