"""`AsyncBulk`, the results of `AsyncClient.generate_many`: a dispatcher and tasks."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hfgen._async.abort_scope import get_loop
from hfgen._bulk.attempt import AnswerCollector, run_call, sessions_by_server, stream_call
from hfgen._bulk.dispatcher import Dispatcher
from hfgen._bulk.plan import closed_error, make_request
from hfgen._core.errors import HfgenError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
    from types import TracebackType

    from hfgen._async.session import AsyncSession
    from hfgen._bulk.dispatcher import Attempt, Outcome
    from hfgen._bulk.plan import BulkPlan
    from hfgen._bulk.results import BulkResult, BulkStatistics
    from hfgen._core.request import AnyRequest

Row = TypeVar("Row")

# Seconds that an iteration that ends with an exception waits for its cancelled tasks.
_CLOSE_TIMEOUT = 1.0


class AsyncBulk(Generic[Row]):
    """The results of `AsyncClient.generate_many`: an async iterator and async context manager.

    When an `async for` loop over it ends, in any way, it is closed: running requests are cancelled.
    To take some results and go on later, use `anext`. Iterating over it after it was closed early
    raises `StreamClosedError`.
    """

    def __init__(
        self,
        session: AsyncSession,
        rows: Iterable[Row] | AsyncIterable[Row],
        request: Callable[[Row], AnyRequest] | None,
        plan: BulkPlan,
    ) -> None:
        # The tasks do not refer to this object, so dropping it cancels them.
        self._engine = _Engine(session, rows, request, plan)

    @property
    def statistics(self) -> BulkStatistics:
        """Counts and times so far; they change while requests run."""
        return self._engine.dispatcher.statistics

    def drain(self) -> None:
        """Take no more rows. The iteration ends after the results of the running requests.

        Rows that wait for a request or a retry get no result.
        """
        self._engine.drain()

    async def aclose(self) -> None:
        """Cancel running requests and close their connections. May be called repeatedly."""
        await self._engine.aclose()

    def __aiter__(self) -> AsyncIterator[BulkResult[Row]]:
        return _LoopIterator(self)

    async def __anext__(self) -> BulkResult[Row]:
        return await self._engine.next()

    async def __aenter__(self) -> AsyncBulk[Row]:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        self._engine.cancel_from_any_thread()


class _LoopIterator(Generic[Row]):
    """The iterator of one `async for` loop: when the loop drops it, it closes all."""

    __slots__ = ("_bulk",)

    def __init__(self, bulk: AsyncBulk[Row]) -> None:
        self._bulk = bulk

    def __aiter__(self) -> AsyncIterator[BulkResult[Row]]:
        return self

    def __anext__(self) -> Awaitable[BulkResult[Row]]:
        return self._bulk.__anext__()

    def __del__(self) -> None:
        self._bulk._engine.cancel_from_any_thread()


class _Engine(Generic[Row]):
    """Takes rows, makes attempts, and wakes the task that waits for a result."""

    def __init__(
        self,
        session: AsyncSession,
        rows: Iterable[Row] | AsyncIterable[Row],
        request: Callable[[Row], AnyRequest] | None,
        plan: BulkPlan,
    ) -> None:
        settings = session.settings
        self.dispatcher: Dispatcher[Row] = Dispatcher(plan)
        self._signal = settings.signal
        self._on_retry = settings.on_retry
        self._sessions = sessions_by_server(session, plan, None)
        self._request = request
        self._settings = session.settings
        self._rows = rows
        self._iterator: Iterator[Row] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        # What `next` waits for, and what the reader of the input waits for while no row is wanted.
        self._waiter: asyncio.Future[None] | None = None
        self._idle_reader: asyncio.Future[None] | None = None
        self._unsubscribe: Callable[[], object] | None = None
        self._is_draining = False
        self._has_ended = False
        self._is_cancelled = False

    async def next(self) -> BulkResult[Row]:
        """Return the next result.

        Raises:
            StopAsyncIteration: There are no more.
        """
        if self._waiter is not None:
            raise RuntimeError("another task waits for the next result")
        self._begin()
        try:
            while True:
                if self._is_cancelled and not self._has_ended:
                    raise closed_error()
                if self._signal is not None:
                    self._signal.throw_if_aborted()
                if (result := self.dispatcher.take_result()) is not None:
                    self._start_attempts()
                    return result
                if self.dispatcher.is_over:
                    raise self.dispatcher.error or StopAsyncIteration
                await self._wait()
        except BaseException as error:
            if not self._is_cancelled:
                self._has_ended = isinstance(error, Exception)
            # A cancelled task does not wait for the tasks that it has cancelled.
            await self.aclose(_CLOSE_TIMEOUT if isinstance(error, Exception) else 0.0)
            raise

    def drain(self) -> None:
        """Take no more rows."""
        # Only a flag: a signal handler may call this in the middle of a method of the dispatcher.
        self._is_draining = True
        self._call_soon(self._start_attempts)

    def cancel(self) -> None:
        """Cancel running requests. Only in the loop."""
        if self._is_cancelled:
            return
        self._is_cancelled = True
        self._iterator = None
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        self._wake()

    def cancel_from_any_thread(self) -> None:
        """Cancel from any thread, whether the loop still runs or not."""
        if self._loop is None or self._loop.is_closed():
            self._is_cancelled = True
        elif asyncio._get_running_loop() is self._loop:  # documented; returns None without a loop
            self.cancel()
        elif not self._is_cancelled:
            self._call_soon(self.cancel)

    async def aclose(self, seconds: float | None = None) -> None:
        """Cancel, and wait for the tasks to end, at most so long; None means no limit."""
        self.cancel_from_any_thread()
        others = self._tasks - {asyncio.current_task()}
        if others and seconds != 0 and self._loop is asyncio.get_running_loop():
            await asyncio.wait(others, timeout=seconds)

    def _begin(self) -> None:
        loop = get_loop()
        if self._loop is None and not self._is_cancelled:
            async_rows = aiter(self._rows) if isinstance(self._rows, AsyncIterable) else None
            if not isinstance(self._rows, AsyncIterable):
                self._iterator = iter(self._rows)
            self._loop = loop
            if self._signal is not None:
                self._unsubscribe = self._signal.subscribe(lambda: self._call_soon(self._wake))
            if async_rows is not None:
                self._spawn(self._read, async_rows)
            self._start_attempts()
        elif self._loop is not loop and self._loop is not None:
            raise RuntimeError("results are taken in the event loop in which they were begun")

    def _start_attempts(self) -> None:
        """Start the attempts that may start now."""
        if self._is_cancelled or (loop := self._loop) is None:
            return
        dispatcher, now = self.dispatcher, loop.time()
        if self._is_draining:
            dispatcher.drain()
        try:
            while True:
                while (attempt := dispatcher.begin_attempt(now)) is not None:
                    self._spawn(self._try, attempt)
                if not dispatcher.wants_row or not self._take_row():
                    break
        except BaseException as error:  # noqa: BLE001 - of the caller's `rows` or `request`
            dispatcher.fail(error)
        self._set_timer(dispatcher.wake_at(now))
        if dispatcher.has_result or dispatcher.is_over:
            self._wake()

    def _take_row(self) -> bool:
        """Take a row from the input; return whether something has come of it."""
        if self._iterator is None:
            if self._idle_reader is not None and not self._idle_reader.done():
                self._idle_reader.set_result(None)
            return False
        try:
            row = next(self._iterator)
        except StopIteration:
            self.dispatcher.end_input()
        except Exception as error:  # noqa: BLE001 - it is the caller's
            self.dispatcher.end_input(error)
        else:
            self.dispatcher.add_row(row, make_request(row, self._request, self._settings))
        return True

    async def _read(self, rows: AsyncIterator[Row]) -> None:
        """Read the input row by row, each when the dispatcher wants one."""
        dispatcher = self.dispatcher
        try:
            while True:
                while not dispatcher.wants_row:
                    self._idle_reader = asyncio.get_running_loop().create_future()
                    await self._idle_reader
                row = await anext(rows)
                dispatcher.add_row(row, make_request(row, self._request, self._settings))
                self._start_attempts()
        except StopAsyncIteration:
            dispatcher.end_input()
        except Exception as error:  # noqa: BLE001 - it is the caller's
            dispatcher.end_input(error)
        self._start_attempts()

    async def _try(self, attempt: Attempt[Row]) -> None:
        assert self._loop is not None
        job, clock = attempt.job, self._loop.time
        session = self._sessions[attempt.server.url]
        outcome = await _attempt(session, job.request, clock, stream=job.stream)
        again = self.dispatcher.end_attempt(attempt, outcome, clock())
        self._start_attempts()
        if again is not None and self._on_retry is not None:
            hook_result: Any = self._on_retry(job.attempts, *again)
            if inspect.isawaitable(hook_result):
                await hook_result

    async def _run_task(self, function: Callable[[Any], Awaitable[None]], argument: Any) -> None:
        try:
            await function(argument)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - of the caller's `fetch`, `on_retry`, `rows`
            # A task that raised SystemExit or KeyboardInterrupt would end the event loop itself.
            self._fail(error)

    def _spawn(self, function: Callable[[Any], Awaitable[None]], argument: Any) -> None:
        """Call the function in a task; `next` raises what it raises."""
        assert self._loop is not None
        task = self._loop.create_task(self._run_task(function, argument))
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() and not self._is_cancelled:
            # Cancelled from elsewhere, for example by what it awaited.
            self._fail(asyncio.CancelledError())

    def _fail(self, error: BaseException) -> None:
        self.dispatcher.fail(error)
        self._wake()

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _call_soon(self, callback: Callable[[], None]) -> None:
        """Call the callback in the loop, from any thread."""
        if self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            # The loop is closed, and so are its tasks.
            return

    def _set_timer(self, at: float | None) -> None:
        if self._timer is not None:
            if self._timer.when() == at:
                return
            self._timer.cancel()
            self._timer = None
        if at is not None:
            assert self._loop is not None
            self._timer = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._start_attempts()


async def _attempt(
    session: AsyncSession, request: Mapping[str, Any], clock: Callable[[], float], *, stream: bool
) -> Outcome:
    collector = AnswerCollector(request, clock)
    settings = session.settings
    try:
        if not stream:
            call = run_call(request, settings)
            return collector.outcome_of(await session.drive(call.converse, settings))
        async with await session.open_stream(stream_call(request, settings), settings) as chunks:
            async for chunk in chunks:
                collector.take(chunk)
    except HfgenError as error:
        return collector.error_outcome(error)
    return collector.outcome()
