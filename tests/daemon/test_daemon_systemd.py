"""What systemd is told, and that it never holds anything up."""

import os
import socket
from pathlib import Path

import pytest

from tapecast.daemon.systemd import Systemd


@pytest.fixture
def manager(tmp_path: Path) -> socket.socket:
    """Return the socket of a service manager at `tmp_path / "notify"`."""
    return bound(str(tmp_path / "notify"))


def bound(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(address)
    sock.settimeout(0)
    return sock


def told(manager: socket.socket) -> list[bytes]:
    """Return what was sent."""
    messages = []
    while True:
        try:
            messages.append(manager.recv(100))
        except BlockingIOError:
            return messages


def test_it_is_told_the_beginning_and_the_end(manager: socket.socket) -> None:
    with manager:
        systemd = Systemd({"NOTIFY_SOCKET": manager.getsockname()})
        systemd.ready()
        systemd.alive(0.0)
        systemd.stopping()
        systemd.close()
        systemd.ready()
        assert told(manager) == [b"READY=1", b"STOPPING=1"]


def test_it_is_told_four_times_within_its_limit_that_the_loop_lives(manager: socket.socket) -> None:
    with manager:
        address = manager.getsockname()
        systemd = Systemd({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000"})
        assert systemd.pet_every_s == 0.5
        for tenths in range(21):
            systemd.alive(tenths / 10)
        systemd.close()
        assert told(manager) == [b"WATCHDOG=1"] * 5


def test_an_abstract_socket_is_meant_by_an_at_sign() -> None:
    with bound(f"\0tapecast-{os.getpid()}") as manager:
        systemd = Systemd({"NOTIFY_SOCKET": f"@tapecast-{os.getpid()}"})
        systemd.ready()
        systemd.close()
        assert told(manager) == [b"READY=1"]


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"},
    ],
)
def test_no_watchdog_is_asked_for_or_another_processs(variables: dict[str, str]) -> None:
    assert Systemd(variables).pet_every_s is None


def test_a_watchdog_is_this_processs_by_its_number() -> None:
    variables = {"WATCHDOG_USEC": "8000000", "WATCHDOG_PID": str(os.getpid())}
    assert Systemd(variables).pet_every_s == 2.0


def test_nothing_is_sent_without_systemd_and_nothing_raised_where_it_has_gone(
    tmp_path: Path,
) -> None:
    for variables in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone")}):
        systemd = Systemd(variables)
        systemd.ready()
        systemd.stopping()
        systemd.close()
        systemd.close()


def test_a_manager_that_does_not_read_holds_up_nothing(manager: socket.socket) -> None:
    with manager:
        systemd = Systemd({"NOTIFY_SOCKET": manager.getsockname()})
        for _ in range(10_000):
            systemd.ready()
        systemd.close()
        assert 0 < len(told(manager)) < 10_000
