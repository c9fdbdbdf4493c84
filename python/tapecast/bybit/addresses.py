"""Which addresses a host has, asked for aside so that nothing waits for a slow resolver."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from threading import Thread
from typing import Final, TypeAlias

__all__ = ["Addresses", "Lookup", "look_up"]

Lookup: TypeAlias = Callable[[str, int], list[str]]
"""Returns the addresses of a host and a port, in the order of preference; it may block."""

_TIMEOUT_S: Final = 4.0
"""Less than connecting may take by default, so that it is the look-up which is blamed."""

_IMPATIENT_S: Final = 1.0
"""Where addresses are known from before, a look-up is not waited for longer."""


def look_up(host: str, port: int) -> list[str]:
    """Ask the system's resolver.

    Families come in the system's order of preference, addresses of one family sorted: the resolver
    turns them from one answer to the next, and lines that count on different ones would meet.

    Raises:
        OSError: If the host has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, str(error)) from error
    families: dict[int, set[str]] = {}
    for family, _, _, _, address in found:
        families.setdefault(family, set()).add(str(address[0]))
    return [address for some in families.values() for address in sorted(some)]


class Addresses:
    """Looks up hosts, each at most once at a time, and remembers what they had last.

    Args:
        lookup: Asks the resolver; called in a thread of its own.
        timeout_s: How long an answer is waited for.
    """

    def __init__(self, lookup: Lookup = look_up, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._lookup = lookup
        self._timeout_s = timeout_s
        self._known: dict[tuple[str, int], list[str]] = {}
        self._asked: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    async def find(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host: those it had last, if the resolver fails or is slow.

        Raises:
            OSError: If none are known.
        """
        if _is_address(host):
            return [host]
        key = host, port
        known = self._known.get(key)
        wait_s = self._timeout_s if known is None else min(self._timeout_s, _IMPATIENT_S)
        # What comes too late is remembered, for whoever asks next.
        asked = self._asked.get(key) or self._ask(key)
        try:
            async with asyncio.timeout(wait_s):
                return await asyncio.shield(asked)
        except OSError as error:
            if known is not None:
                return known
            if not isinstance(error, TimeoutError):
                raise
        text = f"{host} was not looked up within {wait_s:g} s"
        raise socket.gaierror(socket.EAI_AGAIN, text)

    def _ask(self, key: tuple[str, int]) -> "asyncio.Future[list[str]]":
        loop = asyncio.get_running_loop()
        asked = self._asked[key] = loop.create_future()

        def finish(found: list[str] | None, error: OSError | None) -> None:
            del self._asked[key]
            if found:
                self._known[key] = found
                asked.set_result(found)
            else:
                none = socket.gaierror(socket.EAI_NONAME, f"{key[0]} has no address")
                asked.set_exception(error or none)
                # Whoever asked may have gone.
                asked.exception()

        def work() -> None:
            found, failure = None, None
            try:
                found = self._lookup(*key)
            except OSError as error:
                failure = error
            # The loop may have ended meanwhile: nobody waits for a thread of ours.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(finish, found, failure)

        # The loop's own threads are few, are waited for at its end, and may all be stuck.
        Thread(target=work, name=f"look-up of {key[0]}", daemon=True).start()
        return asked


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
