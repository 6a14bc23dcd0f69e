"""The stream of the async side: a thin shell around a body and a decoder."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hfgen._async_abort import AbortScope
from hfgen._boundary import broken_off, checked_piece
from hfgen._errors import StreamClosedError
from hfgen._headers import Headers
from hfgen._sync_stream import state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from types import TracebackType

    from hfgen._core.decoder import Decoder
    from hfgen._fetch import FetchResponse
    from hfgen._signal import AbortSignal

T = TypeVar("T")


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
        self, response: FetchResponse, decoder: Decoder[T], signal: AbortSignal | None
    ) -> None:
        self.status = response.status
        self.headers = Headers(response.headers)
        self._ended = False
        self._left = False
        self._signal = signal
        self._hang_up = partial(hang_up, asyncio.get_running_loop(), response.close)
        self._unsubscribe = signal.subscribe(self._hang_up) if signal else None
        self._decoder = decoder
        self._ready: Iterator[T] = iter(())
        self._drained = False
        self._read = aiter(response.body).__anext__  # type: ignore[arg-type] # the async kind

    def __aiter__(self) -> AsyncIterator[T]:
        return _Loop(self)

    async def __anext__(self) -> T:
        if self._left:
            raise StreamClosedError("the stream was closed before its end")
        try:
            while True:
                if self._signal is not None and self._signal.aborted:
                    self._ready = iter(())
                for item in self._ready:
                    return item
                if self._drained:
                    raise StopAsyncIteration  # noqa: TRY301 - the end is handled as errors are
                await self._refill()
        except BaseException as error:
            # A cancelled read leaves the stream; an error, or the end, ends it.
            self._ended = isinstance(error, Exception)
            self._leave()
            raise

    async def _refill(self) -> None:
        try:
            with AbortScope(self._signal) if self._signal else contextlib.nullcontext():
                piece = await self._read()
        except StopAsyncIteration:
            self._ready, self._drained = self._decoder.finish(), True
        except Exception as error:  # noqa: BLE001 - a fetch raises what it likes
            if (failure := broken_off(self._decoder, error, self._signal)) is not None:
                raise failure  # noqa: B904 - chained where it was made
            self._drained = True
        else:
            self._ready = self._decoder.feed(checked_piece(piece))

    async def aclose(self) -> None:
        """Close the connection, which ends the generation on the server. Repeating it is fine."""
        if (closing := self._leave()) is not None:
            await closing

    def _leave(self) -> asyncio.Future[object] | None:
        if not self._ended:
            self._left = True
        if self._unsubscribe is not None:
            self._unsubscribe()
        return self._hang_up()

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
        self._leave()

    def __repr__(self) -> str:
        return f"<AsyncStream {self.status} {state(ended=self._ended, left=self._left)}>"


class _Loop(Generic[T]):
    """What one `async for` loop iterates: when the loop drops it, the stream is left."""

    __slots__ = ("_stream",)

    def __init__(self, stream: AsyncStream[T]) -> None:
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        return await self._stream.__anext__()

    def __del__(self) -> None:
        self._stream._leave()  # noqa: SLF001 - the two are one mechanism


def hang_up(
    loop: asyncio.AbstractEventLoop, close: Callable[[], Any]
) -> asyncio.Future[object] | None:
    """Call a response's `close` in its loop, from wherever; return what is left to wait for."""
    if loop.is_closed():
        return None
    if asyncio._get_running_loop() is not loop:  # noqa: SLF001 - documented, and raises nothing
        loop.call_soon_threadsafe(hang_up, loop, close)
        return None
    closing = close()
    return asyncio.ensure_future(closing) if inspect.isawaitable(closing) else None
