"""The stream of the sync side: a thin shell around a body and a decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from hfgen._boundary import broken_off, checked_piece
from hfgen._errors import StreamClosedError
from hfgen._headers import Headers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from hfgen._core.decoder import Decoder
    from hfgen._fetch import FetchResponse
    from hfgen._signal import AbortSignal

T = TypeVar("T")


class Stream(Generic[T]):
    """The items of an answer, as they come: an iterator and a context manager.

    A `for` loop over a stream closes it when it ends, however it ends: the connection goes, and
    with it the server's work. To take some items and go on later, use `next`. A stream that is
    dropped closes too. What is asked of a stream after it was left early raises
    `StreamClosedError`: a part never looks like the whole.

    One thread iterates; `close` may be called from any.

    Attributes:
        status: The HTTP status of the answer.
        headers: Its headers, a mapping that does not care for case.
    """

    def __init__(
        self, response: FetchResponse, decoder: Decoder[T], signal: AbortSignal | None
    ) -> None:
        self.status = response.status
        self.headers = Headers(response.headers)
        self._close = response.close
        self._unsubscribe = signal.subscribe(response.close) if signal else None
        # It holds no reference to this object, so that dropping the stream ends it at once.
        self._items = _pump(response, decoder, signal)
        self._ended = False
        self._left = False

    def __iter__(self) -> Iterator[T]:
        # An iterator of its own for each loop: when the loop drops it, the stream is left.
        try:
            while True:
                try:
                    item = self.__next__()
                except StopIteration:
                    return
                yield item
        finally:
            self.close()

    def __next__(self) -> T:
        try:
            if not self._left:
                return next(self._items)
        except BaseException as error:
            if not self._left:
                # Ctrl-C in a read leaves the stream; an error, or the end, ends it.
                self._ended = isinstance(error, Exception)
                self.close()
                raise
        raise StreamClosedError("the stream was closed before its end")

    def close(self) -> None:
        """Close the connection, which ends the generation on the server. Repeating it is fine."""
        if not self._ended:
            self._left = True
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._close()

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Stream {self.status} {state(ended=self._ended, left=self._left)}>"


def state(*, ended: bool, left: bool) -> str:
    """Return the word for what has become of a stream."""
    return "ended" if ended else "closed" if left else "open"


def _pump(response: FetchResponse, decoder: Decoder[T], signal: AbortSignal | None) -> Iterator[T]:
    pieces: Iterator[bytes] = iter(response.body)  # type: ignore[arg-type] # the sync kind
    while True:
        try:
            if signal is not None:
                signal.throw_if_aborted()
            piece = next(pieces, None)
            if signal is not None:
                # A connection that was cut can look like one that has come to its end.
                signal.throw_if_aborted()
        except Exception as error:  # noqa: BLE001 - a fetch raises what it likes
            if (failure := broken_off(decoder, error, signal)) is not None:
                raise failure  # noqa: B904 - chained where it was made
            return
        if piece is None:
            break
        for item in decoder.feed(checked_piece(piece)):
            yield item
            if signal is not None and signal.aborted:
                break
    yield from decoder.finish()
