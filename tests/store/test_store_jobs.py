"""The thread of jobs: in order, to the end, and never ended by one of them."""

import threading
from functools import partial

import pytest

from tapecast.clocks import SystemClock
from tapecast.store.jobs import JobThread
from tapecast.telemetry import ThreadRegistry

LIMIT_S = 30.0


def test_jobs_run_in_order_and_all_of_them_before_the_end() -> None:
    done: list[int] = []
    thread = JobThread("jobs")
    for number in range(100):
        thread.submit(partial(done.append, number))
    assert thread.close(LIMIT_S)
    assert done == list(range(100))


def test_a_job_that_fails_is_told_and_the_next_one_runs() -> None:
    def fail() -> None:
        raise OSError("no disk")

    thread = JobThread("jobs")
    failed, good = thread.submit(fail), thread.submit(lambda: 7)
    with pytest.raises(OSError, match=r"^no disk$"):
        failed.result(LIMIT_S)
    assert good.result(LIMIT_S) == 7
    assert thread.close(LIMIT_S)


def test_a_job_after_the_end_is_cancelled() -> None:
    thread = JobThread("jobs")
    assert thread.close(LIMIT_S)
    assert thread.submit(lambda: 7).cancelled()


def test_a_stuck_job_does_not_hold_up_the_end() -> None:
    go = threading.Event()
    thread = JobThread("jobs")
    thread.submit(lambda: go.wait(LIMIT_S))
    assert not thread.close(0.01)
    go.set()
    assert thread.close(LIMIT_S)


def test_the_thread_reports_what_it_does() -> None:
    clock = SystemClock()
    registry = ThreadRegistry(monotonic_ns=clock.monotonic_ns)
    worker = registry.register("jobs", kind="thread", idle_after_s=0)
    thread = JobThread("jobs", worker)
    thread.submit(lambda: None).result(LIMIT_S)
    assert thread.close(LIMIT_S)
    assert worker.messages_total == 1
    assert worker.state(clock.monotonic_ns()) == "stopped"
