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

    from hfgen._core.answers import StreamDetails
    from hfgen._io.interrupt import Interrupt

T = TypeVar("T")

# Takes the error that ended a stream; returns an answer to go on with, or None.
AsyncReopen: TypeAlias = Callable[[HfgenError], Awaitable[Opened[T] | None]]


class AsyncStream(Generic[T]):
    """The items of an answer, as they come: an async iterator and async context manager.

    When an `async for` loop over a stream ends, in any way, the stream is closed: the connection
    closes, and the server stops generating. Dropping the stream closes it, too, and so does
    cancelling the task that waits for an item. To take some items and go on later, use `anext`.
    Iterating over a stream that was closed before its end raises `StreamClosedError`, so that a
    part never looks like the whole.

    Attributes:
        status: The HTTP status of the answer.
        headers: Its headers; names are case-insensitive.
        text: The text generated so far; after the end all of it, without special tokens. Empty for
            `stream_bytes`.
        details: The finish reason and the numbers of tokens, after the end, if the server sends
            them: TGI if the request asks for `details`, `/v1/completions` always. Else None. Of
            several sequences those of the first.
    """

    def __init__(
        self,
        opened: Opened[T],
        interrupt: Interrupt,
        reopen: AsyncReopen[T],
        *,
        guarded: bool,
    ) -> None:
        self._has_ended = False
        self._is_closed = False
        self._interrupt = interrupt
        self._reopen = reopen
        self._is_guarded = guarded
        self._loop = asyncio.get_running_loop()
        self._unsubscribe: Callable[[], object] | None = None
        self._closing: asyncio.Future[object] | None = None
        self.status = opened.response.status
        self.headers = Headers(opened.response.headers)
        # The text of the answers before the current one.
        self._earlier_text = ""
        self._take(opened)

    def _change(self, opened: Opened[T]) -> None:
        """Release the current answer and go on with this one."""
        self._release()
        self._earlier_text += self._decoder.text
        self._take(opened)

    def _take(self, opened: Opened[T]) -> None:
        self._close_response = partial(close_on_loop, self._loop, opened.response.close)
        self._unsubscribe = self._interrupt.subscribe(self._close_response)
        self._decoder = opened.decoder
        body: Any = opened.response.body
        self._next: Callable[[], Awaitable[bytes]] = body.__anext__
        own_body = None if self._is_guarded else body
        # Cheaper for each token than `__anext__`. Where it returns nothing or fails, `__anext__`
        # tells why.
        quick = getattr(own_body, "readany", None)
        self._at_eof: Callable[[], bool] | None = getattr(own_body, "at_eof", None)
        if opened.break_error is not None:
            self._next, quick = partial(_raise, opened.break_error), None
        elif self._is_guarded:
            self._next = partial(_guard, self._interrupt, self._next)
        self._read: Callable[[], Awaitable[bytes]] = quick or self._next
        self._ready: Iterator[T] = iter(opened.ready)
        self._is_last = False
        self._is_waiting = self._is_ending = False

    def __aiter__(self) -> AsyncIterator[T]:
        return _LoopIterator(self)

    async def __anext__(self) -> T:  # noqa: C901 - one loop, in order
        if self._is_closed:
            raise StreamClosedError("the stream was closed before its end")
        interrupt = self._interrupt
        try:
            while True:
                try:
                    if self._is_last or not interrupt.aborted:
                        for item in self._ready:
                            if self._is_waiting or self._is_ending:
                                # The deadline does not run while the caller handles an item.
                                interrupt.deadline = None
                                self._is_waiting = self._is_ending = False
                            return item
                        if self._is_last:
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
            # An error or the end of the answer ends the stream; a cancellation only closes it.
            self._has_ended = isinstance(error, Exception)
            self._close()
            raise

    def _expect(self) -> None:
        """Set the deadline of the next piece, unless it is set already."""
        interrupt = self._interrupt
        if interrupt.aborted:
            raise interrupt.error()
        if self._decoder.is_complete:
            # Only once: the limit is for all that comes after the last event. Mostly nothing does.
            if not self._is_ending and (self._at_eof is None or not self._at_eof()):
                self._loop.call_later(interrupt.expect_end(), interrupt.check)
                self._is_ending = True
        elif not self._is_waiting:
            interrupt.expect_next()
            self._is_waiting = True

    def _take_end(self, error: Exception) -> None:
        """Handle the end of the body: decode the rest, or raise the error that broke it."""
        if self._read is not self._next:
            # The quick read does not tell why it failed. `__anext__` does.
            self._read = self._next
            return
        if isinstance(error, StopAsyncIteration):
            self._ready = self._decoder.finish()
        elif (failure := ending_error(self._decoder, error, self._interrupt)) is not None:
            raise failure
        else:
            self._ready = self._decoder.take_rest()
        self._is_last = True

    @property
    def text(self) -> str:
        return self._earlier_text + self._decoder.text

    @property
    def details(self) -> StreamDetails | None:
        return self._decoder.details

    async def aclose(self) -> None:
        """Close the connection; the server stops generating. May be called repeatedly."""
        if (closing := self._close()) is not None:
            await closing

    def _close(self) -> asyncio.Future[object] | None:
        if not self._has_ended:
            self._is_closed = True
        if self._unsubscribe is not None:
            self._interrupt.end()
            self._release()
        return self._closing

    def _release(self) -> None:
        """Close the current answer, once."""
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
        state = name_state(has_ended=self._has_ended, is_closed=self._is_closed)
        return f"<AsyncStream {self.status} {state}>"


async def _raise(error: HfgenError) -> bytes:
    raise error


async def _guard(interrupt: Interrupt, read: Callable[[], Awaitable[bytes]]) -> bytes:
    """Read from a `fetch` of the caller, which may not end when the call is aborted."""
    with AbortScope(interrupt):
        return await read()


class _LoopIterator(Generic[T]):
    """The iterator of one `async for` loop: when the loop drops it, it closes the stream."""

    # The stream's own method, because a method of this class would be one more call for each token.
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
    """Call a response's `close` in its loop, from any thread; return the task to wait for."""
    if loop.is_closed():
        return None
    if asyncio._get_running_loop() is not loop:  # noqa: SLF001 - documented; returns None without a loop
        loop.call_soon_threadsafe(close_on_loop, loop, close)
        return None
    closing = close()
    if not inspect.isawaitable(closing):
        return None
    task = asyncio.ensure_future(closing)
    # A loop refers to its tasks only weakly.
    _closings.add(task)
    task.add_done_callback(_closings.discard)
    return task


_closings: set[asyncio.Future[object]] = set()
