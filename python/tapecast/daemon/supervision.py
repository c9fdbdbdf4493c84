"""Every task, callback and thread under one eye: what fails there ends the daemon.

A panic in Rust reaches Python as a `BaseException`, which `except Exception` lets pass on purpose:
the state behind it may be torn. Wherever it comes out, nothing may go on as if nothing had been.
"""

import asyncio
import logging
import threading
from collections.abc import Coroutine, Generator
from contextlib import suppress
from contextvars import Context
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from tapecast.errors import FeedError, InternalFault

__all__ = ["Crew", "Supervisor", "is_fatal"]

_T = TypeVar("_T")

_LOGGER = logging.getLogger(__name__)

_END_S: Final = 1.5
"""How long a cancelled task may take for its end, so that one that hangs does not hold up all."""

_HARMLESS: Final = (
    Exception,
    asyncio.CancelledError,
    GeneratorExit,
    KeyboardInterrupt,
    SystemExit,
)


def is_fatal(error: BaseException) -> bool:
    """Return whether an error must end the process, wherever it was raised.

    It is what no handler of ordinary exceptions may swallow, such as PyO3's `PanicException`; also
    if another error was raised while it was on its way.
    """
    seen: set[int] = set()
    found = [error]
    while found:
        one = found.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, BaseExceptionGroup):
            found += one.exceptions
        elif not isinstance(one, _HARMLESS):
            return True
        found += [behind for behind in (one.__cause__, one.__context__) if behind is not None]
    return False


class Supervisor:
    """Runs tasks of which none may end by itself, and looks after what else runs beside them.

    As an asynchronous context manager it takes over, for its event loop and process, what becomes
    of errors that nobody handles: of other tasks and of callbacks those that are fatal, of threads
    all. At its end it gives that back and ends its tasks, the last one started first.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._running: list[asyncio.Task[Any]] = []
        self._may_end: asyncio.Task[Any] | None = None
        self._is_ending = False
        # Of the first part that failed; wakes who waits.
        self._fault: InternalFault | None = None
        self._woken = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Take over what becomes of errors."""
        self._loop = asyncio.get_running_loop()
        self._handler_before = self._loop.get_exception_handler()
        self._factory_before = self._loop.get_task_factory()
        self._hook_before = threading.excepthook
        self._loop.set_exception_handler(self._on_loop_error)
        self._loop.set_task_factory(self._make_task)
        threading.excepthook = self._on_thread_error
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the tasks.

        Raises:
            InternalFault: If one failed on its way out, and nothing else is raised.
        """
        try:
            await self.end()
        finally:
            self._loop.set_exception_handler(self._handler_before)
            self._loop.set_task_factory(self._factory_before)
            threading.excepthook = self._hook_before
        if exc is None and self._fault is not None:
            raise self._fault

    def start(self, name: str, work: Coroutine[Any, Any, None], *, may_end: bool = False) -> None:
        """Start a task.

        Args:
            name: Its name, for the log.
            work: What it does.
            may_end: Whether it may be done one day, which is the end of `wait`. What goes wrong
                with its input then is raised as it is, `OSError` or `FeedError`.
        """
        task = self._loop.create_task(work, name=name)
        task.add_done_callback(self._on_ended)
        self._tasks.add(task)
        self._running.append(task)
        if may_end:
            self._may_end = task

    async def wait(self, stop: asyncio.Event) -> None:
        """Wait until `stop` is set, or until the task that may end is done.

        Raises:
            InternalFault: If anything else ends; the log has its traceback.
            OSError: If the input of the task that may end cannot be read.
            FeedError: If it is damaged.
        """
        watch = self._loop.create_task(self._wake_with(stop), name="stop")
        try:
            await self._woken.wait()
        finally:
            watch.cancel()
        if self._fault is not None:
            raise self._fault
        if self._may_end is not None and self._may_end.done() and not self._may_end.cancelled():
            self._may_end.result()

    async def end(self) -> None:
        """End all tasks, the last one started first, each in bounded time."""
        self._is_ending = True
        while self._running:
            task = self._running.pop()
            task.cancel()
            await asyncio.wait([task], timeout=_END_S)
            if not task.done():
                self.fail(f"task {task.get_name()}", f"did not end within {_END_S:g} s")

    def fail(self, part: str, end: str, error: BaseException | None = None) -> None:
        """End the daemon because of a part of it; callable in the loop's thread.

        Args:
            part: Which one, such as `task broadcaster`.
            end: What became of it, such as `was cancelled`.
            error: What was raised in it; its traceback is logged.
        """
        _LOGGER.critical("%s %s", part, end, exc_info=error)
        if self._fault is None:
            self._fault = InternalFault(part, end)
            self._fault.__cause__ = error
        self._woken.set()

    async def _wake_with(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._woken.set()

    def _on_ended(self, task: asyncio.Task[Any]) -> None:
        part = f"task {task.get_name()}"
        if task.cancelled():
            if not self._is_ending:
                self.fail(part, "was cancelled")
            return
        error = task.exception()
        is_expected = task is self._may_end and isinstance(error, OSError | FeedError | None)
        if is_expected:
            self._woken.set()
        elif error is not None:
            leaf = _leaf(error)
            if isinstance(leaf, InternalFault):
                # It was found within the task, whose own name says less.
                self.fail(leaf.part, leaf.end, leaf.__cause__)
            else:
                self.fail(part, _failed(error), error)
        elif not self._is_ending:
            self.fail(part, "is done")

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        /,
        **options: Any,  # noqa: ANN401 -- those of the Python that runs
    ) -> asyncio.Task[Any]:
        """Make a task whose fatal error is not lost, whoever does or does not look at it."""
        task = asyncio.Task(work, loop=loop, **options)
        task.add_done_callback(self._on_any_ended)
        return task

    def _on_any_ended(self, task: asyncio.Task[Any]) -> None:
        # To ask for the exception is to say that it is handled; that is for others to say.
        error = task._exception  # noqa: SLF001
        if error is not None and task not in self._tasks and is_fatal(error):
            self.fail(f"task {task.get_name()}", _failed(error), error)

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is None or not is_fatal(error):
            loop.default_exception_handler(context)
        elif "task" not in context and "future" not in context:
            # The end of a task was seen before.
            self.fail("a callback", _failed(error), error)

    def _on_thread_error(self, report: threading.ExceptHookArgs) -> None:
        if report.exc_type is SystemExit:
            return
        name = "unknown" if report.thread is None else report.thread.name
        error = report.exc_value or report.exc_type()
        # A thread that outlives the loop has nobody to tell.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.fail, f"thread {name}", _failed(error), error)


class Crew(asyncio.TaskGroup):
    """A task group of which no task may end; it runs until it is cancelled, or one of them fails.

    `asyncio.TaskGroup` ends with a task that raises, but goes on without one that somebody else has
    cancelled, or that is done.
    """

    async def __aenter__(self) -> Self:
        """Begin."""
        self._owner = asyncio.current_task()
        self._failed: asyncio.Future[InternalFault] = asyncio.get_running_loop().create_future()
        await super().__aenter__()
        super().create_task(self._fail(), name="crew")
        return self

    def create_task(
        self,
        coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T],
        *,
        name: str | None = None,
        context: Context | None = None,
        may_end: bool = False,
    ) -> asyncio.Task[_T]:
        """Start a task, as `asyncio.TaskGroup` does.

        Args:
            coro: What it does.
            name: Its name, for the log.
            context: What it runs in; a copy of the present one where `None`.
            may_end: Whether it may be done, or be cancelled by others.
        """
        task = super().create_task(coro, name=name, context=context)
        if not may_end:
            task.add_done_callback(self._on_ended)
        return task

    def _on_ended(self, task: asyncio.Task[Any]) -> None:
        is_ending = self._owner is not None and self._owner.cancelling()
        if is_ending or self._failed.done():
            # The group itself ends, for whatever reason.
            return
        end = "was cancelled" if task.cancelled() else "is done"
        if task.cancelled() or task.exception() is None:
            self._failed.set_result(InternalFault(f"task {task.get_name()}", end))

    async def _fail(self) -> None:
        raise await self._failed


def _leaf(error: BaseException) -> BaseException:
    """Return the first failure, where a task group has made a group of it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _failed(error: BaseException) -> str:
    """Return that a part failed, and by what."""
    leaf = _leaf(error)
    text = str(leaf)
    return f"failed: {type(leaf).__name__}: {text}" if text else f"failed: {type(leaf).__name__}"
