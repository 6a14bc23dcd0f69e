"""`AsyncClient.generate_many`: a dispatcher, a task for each request, and callbacks that wake."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

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
    from hfgen._core.request import RequestLike

Row = TypeVar("Row")

# Seconds that an iteration which ends with an exception waits for what it has cancelled.
_FAREWELL = 1.0


class AsyncBulk(Generic[Row]):
    """The results of `AsyncClient.generate_many`: an async iterator and async context manager.

    An `async for` loop over it closes it when it ends, however it ends: what is under way is
    cancelled. To take some results and go on later, use `anext`. What is asked of it after it was
    left early raises `StreamClosedError`.
    """

    def __init__(
        self,
        session: AsyncSession,
        rows: Iterable[Row] | AsyncIterable[Row],
        request: Callable[[Row], RequestLike] | None,
        plan: BulkPlan,
    ) -> None:
        # What is under way holds no reference to this object, so that dropping it ends all of it.
        self._engine = _Engine(session, rows, request, plan)

    @property
    def statistics(self) -> BulkStatistics:
        """What has been; it changes while requests are under way."""
        return self._engine.dispatcher.statistics

    def drain(self) -> None:
        """Take no more rows: what is under way ends and is handed out, and then the iteration ends.

        Rows that have been taken and are not under way, or would have to be tried again, get no
        result.
        """
        self._engine.drain()

    async def aclose(self) -> None:
        """Cancel what is under way, and close its connections. Repeating it is fine."""
        await self._engine.aclose()

    def __aiter__(self) -> AsyncIterator[BulkResult[Row]]:
        return _Loop(self)

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
        self._engine.leave_from_anywhere()


class _Loop(Generic[Row]):
    """What one `async for` loop iterates: when the loop drops it, the whole is left."""

    __slots__ = ("_bulk",)

    def __init__(self, bulk: AsyncBulk[Row]) -> None:
        self._bulk = bulk

    def __aiter__(self) -> AsyncIterator[BulkResult[Row]]:
        return self

    def __anext__(self) -> Awaitable[BulkResult[Row]]:
        return self._bulk.__anext__()

    def __del__(self) -> None:
        self._bulk._engine.leave_from_anywhere()


class _Engine(Generic[Row]):
    """Takes rows, makes attempts, and wakes whoever waits for a result."""

    def __init__(
        self,
        session: AsyncSession,
        rows: Iterable[Row] | AsyncIterable[Row],
        request: Callable[[Row], RequestLike] | None,
        plan: BulkPlan,
    ) -> None:
        settings = session.settings
        self.dispatcher: Dispatcher[Row] = Dispatcher(plan)
        self._signal = settings.signal
        self._on_retry = settings.on_retry
        self._sessions = sessions_by_server(session, plan, None)
        self._request = request
        self._model = plan.model
        self._rows = rows
        self._iterator: Iterator[Row] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        # Whoever waits for a result, and the reader of the input while no row is wanted.
        self._waiter: asyncio.Future[None] | None = None
        self._idle_reader: asyncio.Future[None] | None = None
        self._unsubscribe: Callable[[], object] | None = None
        self._drains = False
        self._ended = False
        self._left = False

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
                if self._left and not self._ended:
                    raise closed_error()
                if self._signal is not None:
                    self._signal.throw_if_aborted()
                if (result := self.dispatcher.take_result()) is not None:
                    self._go_on()
                    return result
                if self.dispatcher.is_over:
                    raise self.dispatcher.error or StopAsyncIteration
                await self._wait()
        except BaseException as error:
            if not self._left:
                self._ended = isinstance(error, Exception)
            # Who is cancelled does not wait for what is cancelled with it.
            await self.aclose(_FAREWELL if isinstance(error, Exception) else 0.0)
            raise

    def drain(self) -> None:
        """Take no more rows."""
        # The dispatcher may be in the middle of something: a signal handler is in no other thread.
        self._drains = True
        self._call_soon(self._go_on)

    def leave(self) -> None:
        """Cancel what is under way."""
        if self._left:
            return
        self._left = True
        self._iterator = None
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        self._wake()

    def leave_from_anywhere(self) -> None:
        """Leave, in whatever thread, and whether there still is a loop or not."""
        if self._loop is None or self._loop.is_closed():
            self._left = True
        elif asyncio._get_running_loop() is self._loop:  # documented, and raises nothing
            self.leave()
        elif not self._left:
            self._call_soon(self.leave)

    async def aclose(self, patience: float | None = None) -> None:
        """Leave, and wait until all of it has ended, at most so many seconds."""
        self.leave_from_anywhere()
        others = self._tasks - {asyncio.current_task()}
        if others and patience != 0 and self._loop is asyncio.get_running_loop():
            await asyncio.wait(others, timeout=patience)

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None and not self._left:
            self._loop = loop
            if self._signal is not None:
                self._unsubscribe = self._signal.subscribe(lambda: self._call_soon(self._wake))
            if isinstance(self._rows, AsyncIterable):
                self._spawn(self._read(aiter(self._rows)))
            else:
                self._iterator = iter(self._rows)
            self._go_on()
        elif self._loop is not loop and self._loop is not None:
            raise RuntimeError("results are taken in the event loop in which they were begun")

    def _go_on(self) -> None:
        """Begin what may be begun now."""
        if self._left or (loop := self._loop) is None:
            return
        dispatcher, now = self.dispatcher, loop.time()
        if self._drains:
            dispatcher.drain()
        while True:
            while (attempt := dispatcher.begin_attempt(now)) is not None:
                self._spawn(self._try(attempt))
            if not dispatcher.wants_row or not self._take_row():
                break
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
            self.dispatcher.add_row(row, make_request(row, self._request, self._model))
        return True

    async def _read(self, rows: AsyncIterator[Row]) -> None:
        """Read the input, one row at a time, and only while one is wanted."""
        dispatcher = self.dispatcher
        try:
            while True:
                while not dispatcher.wants_row:
                    self._idle_reader = asyncio.get_running_loop().create_future()
                    await self._idle_reader
                row = await anext(rows)
                dispatcher.add_row(row, make_request(row, self._request, self._model))
                self._go_on()
        except StopAsyncIteration:
            dispatcher.end_input()
        except Exception as error:  # noqa: BLE001 - it is the caller's
            dispatcher.end_input(error)
        self._go_on()

    async def _try(self, attempt: Attempt[Row]) -> None:
        assert self._loop is not None
        job, clock = attempt.job, self._loop.time
        try:
            session = self._sessions[attempt.server.url]
            outcome = await _attempt(session, job.request, clock, stream=job.stream)
            again = self.dispatcher.end_attempt(attempt, outcome, clock())
            self._go_on()
            if again is not None and self._on_retry is not None:
                told: Any = self._on_retry(job.attempts, *again)
                if inspect.isawaitable(told):
                    await told
        except Exception as error:  # noqa: BLE001 - a caller's `fetch` or `on_retry` raised it
            self._fail(error)

    def _spawn(self, coroutine: Any) -> None:
        assert self._loop is not None
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._let_go)

    def _let_go(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() and not self._left:
            # By somebody else, or by what it awaited.
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
        """Call it in the loop, from wherever."""
        if self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            # The loop is closed, and its tasks with it.
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
        self._go_on()


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
