"""A state directory: one process, one layout, one identity."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tapecast.errors import StateForeign, StateLocked, StateTooNew, StateUnusable
from tapecast.store.lock import StateLock

IDENTITY = '{"network":"mainnet","categories":["linear"]}'


def test_a_missing_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "not" / "there"
    StateLock(directory, IDENTITY).release()
    assert (directory / "format").read_bytes() == b"1\n"
    assert (directory / "identity").read_text() == IDENTITY
    if sys.platform != "win32":
        for name, mode in ((".", 0o700), ("format", 0o600), ("identity", 0o600), ("lock", 0o600)):
            assert stat.S_IMODE((directory / name).stat().st_mode) == mode


def test_p4_a_second_lock_names_the_directory_and_the_process(tmp_path: Path) -> None:
    lock = StateLock(tmp_path, IDENTITY)
    with pytest.raises(StateLocked) as caught:
        StateLock(tmp_path, IDENTITY)
    assert str(caught.value) == (
        f"state directory {tmp_path} is in use by process {os.getpid()}, expected one not in use"
    )
    assert (caught.value.directory, caught.value.pid) == (str(tmp_path), os.getpid())
    lock.release()
    StateLock(tmp_path, IDENTITY).release()


def test_p4_another_process_is_kept_out_and_let_in_once_the_first_is_killed(
    tmp_path: Path,
) -> None:
    program = """
import sys
from pathlib import Path
from tapecast.store.lock import StateLock
lock = StateLock(Path(sys.argv[1]), sys.argv[2])
print("locked", flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-c", program, str(tmp_path), IDENTITY]
    with subprocess.Popen(  # noqa: S603 -- our own program
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(StateLocked) as caught:
            StateLock(tmp_path, IDENTITY)
        assert caught.value.pid == other.pid
        other.kill()
    StateLock(tmp_path, IDENTITY).release()


def test_a_holder_that_did_not_say_its_number_is_another_process(tmp_path: Path) -> None:
    lock = StateLock(tmp_path, IDENTITY)
    (tmp_path / "lock").write_bytes(b"")
    with pytest.raises(StateLocked) as caught:
        StateLock(tmp_path, IDENTITY)
    assert str(caught.value) == (
        f"state directory {tmp_path} is in use by another process, expected one not in use"
    )
    lock.release()


def test_p17_a_newer_layout_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    StateLock(tmp_path, IDENTITY).release()
    (tmp_path / "format").write_bytes(b"2\n")
    with pytest.raises(StateTooNew) as caught:
        StateLock(tmp_path, IDENTITY)
    assert str(caught.value) == f"{tmp_path / 'format'} has version 2, expected at most 1"
    assert (tmp_path / "format").read_bytes() == b"2\n"


@pytest.mark.parametrize("content", ["", "one", "-1", "0"])
def test_p17_a_layout_without_a_version_is_refused(tmp_path: Path, content: str) -> None:
    StateLock(tmp_path, IDENTITY).release()
    (tmp_path / "format").write_text(content)
    with pytest.raises(StateUnusable) as caught:
        StateLock(tmp_path, IDENTITY)
    assert str(caught.value) == (
        f'state directory {tmp_path} cannot be used: its format is "{content}", '
        "expected the version of its layout"
    )


def test_another_identity_is_refused(tmp_path: Path) -> None:
    StateLock(tmp_path, IDENTITY).release()
    other = '{"network":"testnet","categories":["linear"]}'
    with pytest.raises(StateForeign) as caught:
        StateLock(tmp_path, other)
    assert str(caught.value) == f"state directory {tmp_path} is of {IDENTITY}, expected {other}"


def test_an_identity_is_what_it_means_not_how_it_is_written(tmp_path: Path) -> None:
    StateLock(tmp_path, IDENTITY).release()
    StateLock(tmp_path, '{"categories": ["linear"], "network": "mainnet"}').release()


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(StateUnusable) as caught:
        StateLock(tmp_path, IDENTITY)
    assert str(caught.value) == (
        f'state directory {tmp_path} cannot be used: it holds "thesis.tex" and no state, '
        "expected a state directory, or an empty one"
    )


def test_p6_a_file_in_place_of_the_directory_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(StateUnusable) as caught:
        StateLock(path / "state", IDENTITY)
    assert str(caught.value) == (
        f"state directory {path / 'state'} cannot be used: not a directory, "
        "expected a directory that can be written to"
    )


def test_p6_a_disk_that_cannot_be_written_is_told_and_nothing_stays_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StateUnusable) as caught:
            StateLock(tmp_path, IDENTITY)
    assert str(caught.value) == (
        f"state directory {tmp_path} cannot be used: no space left on device, "
        "expected a directory that can be written to"
    )
    StateLock(tmp_path, IDENTITY).release()
