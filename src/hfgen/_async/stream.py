"""`AsyncStream`: pulls bytes from a body, pushes them into a decoder, and hands out its items."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from hfgen._async.abort_scope import AbortScope
from hfgen._core.body import name_state
from hfgen._core.conversation import Opened
from hfgen._core.errors import HfgenError, StreamClosedError, drop_tracebacks
from hfgen._core.fetch import check_piece, ending_error
from hfgen._core.headers import Headers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import TracebackType

    from hfgen._io.interrupt import Interrupt

T = TypeVar("T")

# Given the error that ended a stream: how to go on, or None.
AsyncReopen: TypeAlias = Callable[[HfgenError], Awaitable[Opened[T] | None]]


class AsyncStream(Generic[T]):
    """The items of an answer, as they come: an async iterator and async context manager.

    An `async for` loop over a stream closes it when it ends, however it ends: the connection
    goes, and with it the server's work. To take some items and go on later, use `anext`. A stream
    that is dropped, or whose task is cancelled while it waits, closes too. What is asked of a
    stream after it was left early raises `StreamClosedError`: a part never looks like the whole.

    Attributes:
        status: The HTTP status of the answer.
        headers: Its headers, a mapping that does not care for case.
    """

    def __init__(
        self,
        opened: Opened[T],
        interrupt: Interrupt,
        reopen: AsyncReopen[T],
        *,
        guarded: bool,
    ) -> None:
        self._ended = False
        self._left = False
        self._interrupt = interrupt
        self._reopen = reopen
        self._guarded = guarded
        self._loop = asyncio.get_running_loop()
        self._unsubscribe: Callable[[], object] | None = None
        self._closing: asyncio.Future[object] | None = None
        self.status = opened.response.status
        self.headers = Headers(opened.response.headers)
        self._change(opened)

    def _change(self, opened: Opened[T]) -> None:
        """Read on from this answer."""
        self._release()
        self._close_response = partial(close_on_loop, self._loop, opened.response.close)
        self._unsubscribe = self._interrupt.subscribe(self._close_response)
        self._decoder = opened.decoder
        body: Any = opened.response.body
        self._next: Callable[[], Awaitable[bytes]] = body.__anext__
        ours = None if self._guarded else body
        # Less for every token; but where it gives nothing or fails, it does not say why.
        quick = getattr(ours, "readany", None)
        self._at_eof: Callable[[], bool] | None = getattr(ours, "at_eof", None)
        if opened.break_error is not None:
            self._next, quick = partial(_raise, opened.break_error), None
        elif self._guarded:
            self._next = partial(_guard, self._interrupt, self._next)
        self._read: Callable[[], Awaitable[bytes]] = quick or self._next
        self._ready: Iterator[T] = iter(opened.ready)
        self._drained = False
        self._waits = self._ends = False

    def __aiter__(self) -> AsyncIterator[T]:
        return _LoopIterator(self)

    async def __anext__(self) -> T:  # noqa: C901 - one loop, in order
        if self._left:
            raise StreamClosedError("the stream was closed before its end")
        interrupt = self._interrupt
        try:
            while True:
                try:
                    if self._drained or not interrupt.aborted:
                        for item in self._ready:
                            if self._waits or self._ends:
                                # The deadline does not run while the caller handles an item.
                                interrupt.deadline = None
                                self._waits = self._ends = False
                            return item
                        if self._drained:
                            raise StopAsyncIteration
                    try:
                        self._expect()
                        piece = await self._read()
                    except Exception as error:  # noqa: BLE001 - a fetch raises what it likes
                        self._take_end(error)
                    else:
                        if not piece:
                            self._read = self._next
                        self._ready = self._decoder.feed(
                            piece if type(piece) is bytes else check_piece(piece)
                        )
                except HfgenError as error:
                    interrupt.deadline = None
                    if (opened := await self._reopen(error)) is None:
                        raise
                    drop_tracebacks(error)
                    self._change(opened)
        except BaseException as error:
            # A cancelled read leaves the stream; an error, or the end, ends it.
            self._ended = isinstance(error, Exception)
            self._close()
            raise

    def _expect(self) -> None:
        """Begin to wait for a piece, or go on with it."""
        interrupt = self._interrupt
        if interrupt.aborted:
            raise interrupt.error()
        if self._decoder.is_complete:
            # Once only: a server may go on sending for ever. Mostly the end is here already.
            if not self._ends and (self._at_eof is None or not self._at_eof()):
                self._loop.call_later(interrupt.expect_end(), interrupt.check)
                self._ends = True
        elif not self._waits:
            interrupt.expect_next()
            self._waits = True

    def _take_end(self, error: Exception) -> None:
        """Take in why no piece came, or ask who can say it; raise if one ought to have come."""
        if self._read is not self._next:
            self._read = self._next
            return
        if isinstance(error, StopAsyncIteration):
            self._ready = self._decoder.finish()
        elif (failure := ending_error(self._decoder, error, self._interrupt)) is not None:
            raise failure
        else:
            self._ready = self._decoder.take_rest()
        self._drained = True

    async def aclose(self) -> None:
        """Close the connection, which ends the generation on the server. Repeating it is fine."""
        if (closing := self._close()) is not None:
            await closing

    def _close(self) -> asyncio.Future[object] | None:
        if not self._ended:
            self._left = True
        if self._unsubscribe is not None:
            self._interrupt.end()
            self._release()
        return self._closing

    def _release(self) -> None:
        """Close the answer at hand, once."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._closing = self._close_response()
            self._unsubscribe = None

    async def __aenter__(self) -> AsyncStream[T]:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        self._close()

    def __repr__(self) -> str:
        return (
            f"<AsyncStream {self.status} {name_state(has_ended=self._ended, is_closed=self._left)}>"
        )


async def _raise(error: HfgenError) -> bytes:
    raise error


async def _guard(interrupt: Interrupt, read: Callable[[], Awaitable[bytes]]) -> bytes:
    """Read from who does not listen to the signal."""
    with AbortScope(interrupt):
        return await read()


class _LoopIterator(Generic[T]):
    """What one `async for` loop iterates: when the loop drops it, the stream is left."""

    # `async for` finds here the stream's own method: one of this class would be one more call for
    # every token.
    __slots__ = ("__anext__", "_stream")
    __anext__: Callable[[], Awaitable[T]]

    def __init__(self, stream: AsyncStream[T]) -> None:
        self._stream = stream
        self.__anext__ = stream.__anext__

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    def __del__(self) -> None:
        self._stream._close()  # noqa: SLF001 - the two are one mechanism


def close_on_loop(
    loop: asyncio.AbstractEventLoop, close: Callable[[], Any]
) -> asyncio.Future[object] | None:
    """Call a response's `close` in its loop, from wherever; return what is left to wait for."""
    if loop.is_closed():
        return None
    if asyncio._get_running_loop() is not loop:  # noqa: SLF001 - documented, and raises nothing
        loop.call_soon_threadsafe(close_on_loop, loop, close)
        return None
    closing = close()
    if not inspect.isawaitable(closing):
        return None
    task = asyncio.ensure_future(closing)
    # The loop itself holds a task only weakly.
    _closings.add(task)
    task.add_done_callback(_closings.discard)
    return task


_closings: set[asyncio.Future[object]] = set()
