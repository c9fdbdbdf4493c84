"""Where a host's addresses come from when the resolver answers, fails and is slow."""

import asyncio
import socket
import threading
from collections.abc import Callable

import pytest

from tapecast.bybit.addresses import Addresses, look_up

LIMIT_S = 10.0
TWO = ["192.0.2.1", "192.0.2.2"]


class Resolver:
    """Answers as a test says, and counts."""

    def __init__(self, *answers: list[str] | OSError) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.hold: threading.Event | None = None

    def __call__(self, _host: str, _port: int) -> list[str]:
        self.asked += 1
        answer = self.answers.pop(0)
        if self.hold is not None:
            self.hold.wait(LIMIT_S)
        if isinstance(answer, OSError):
            raise answer
        return answer


def unknown() -> socket.gaierror:
    return socket.gaierror(socket.EAI_NONAME, "Name or service not known")


async def test_addresses_are_those_of_the_resolver() -> None:
    assert await Addresses(Resolver(TWO)).find("stream.example", 443) == TWO


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
async def test_an_address_is_not_looked_up(address: str) -> None:
    assert await Addresses(Resolver()).find(address, 443) == [address]


async def test_a_host_without_addresses_is_an_error_that_says_so() -> None:
    """U4: DNS failure."""
    addresses = Addresses(Resolver(unknown(), []))
    with pytest.raises(socket.gaierror, match="Name or service not known"):
        await addresses.find("stream.example", 443)
    with pytest.raises(socket.gaierror, match=r"stream\.example has no address"):
        await addresses.find("stream.example", 443)


async def test_the_last_addresses_are_good_while_the_resolver_fails() -> None:
    """U4: DNS failure."""
    addresses = Addresses(Resolver(TWO, unknown(), ["192.0.2.3"]))
    assert [await addresses.find("stream.example", 443) for _ in range(3)] == [
        TWO,
        TWO,
        ["192.0.2.3"],
    ]


async def test_a_resolver_that_is_stuck_holds_up_neither_the_loop_nor_anybody_for_long() -> None:
    """U4: slow DNS."""
    resolver = Resolver(TWO)
    resolver.hold = threading.Event()
    addresses = Addresses(resolver, timeout_s=0.01)
    with pytest.raises(socket.gaierror) as error:
        await addresses.find("stream.example", 443)
    assert error.value.strerror == "stream.example was not looked up within 0.01 s"
    # One look-up at a time: those who ask meanwhile wait for the same answer.
    with pytest.raises(socket.gaierror):
        await addresses.find("stream.example", 443)
    resolver.hold.set()
    async with asyncio.timeout(LIMIT_S):
        while not addresses._known:  # noqa: ASYNC110 -- nobody tells of it
            await asyncio.sleep(0)
    # What came too late is remembered.
    resolver.answers.append(unknown())
    assert await addresses.find("stream.example", 443) == TWO
    assert resolver.asked == 2


async def test_the_last_addresses_are_good_while_the_resolver_is_slow() -> None:
    """U4: slow DNS."""
    resolver = Resolver(TWO, TWO)
    addresses = Addresses(resolver, timeout_s=0.01)
    resolver.hold = hold = threading.Event()
    hold.set()
    async with asyncio.timeout(LIMIT_S):
        while not addresses._known:
            try:
                await addresses.find("stream.example", 443)
            except socket.gaierror:
                await asyncio.sleep(0)
    hold.clear()
    assert await addresses.find("stream.example", 443) == TWO
    hold.set()


def answering(*rows: tuple[int, str]) -> Callable[..., list[tuple[object, ...]]]:
    return lambda *_args, **_more: [(family, 1, 6, "", (host, 443)) for family, host in rows]


def test_addresses_of_a_family_are_sorted_and_the_systems_first_family_stays_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    v4, v6 = socket.AF_INET, socket.AF_INET6
    rows = [(v6, "2001:db8::2"), (v4, "192.0.2.2"), (v4, "192.0.2.1"), (v6, "2001:db8::1")]
    monkeypatch.setattr(socket, "getaddrinfo", answering(*rows))
    assert look_up("stream.example", 443) == [
        "2001:db8::1",
        "2001:db8::2",
        "192.0.2.1",
        "192.0.2.2",
    ]


def test_a_host_that_cannot_be_spelled_has_no_addresses() -> None:
    with pytest.raises(socket.gaierror):
        look_up("a" * 64 + ".example", 443)
