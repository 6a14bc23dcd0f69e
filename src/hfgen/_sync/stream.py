"""`Stream`: pulls bytes from a body, pushes them into a decoder, and hands out its items."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from hfgen._core.body import name_state
from hfgen._core.conversation import Opened
from hfgen._core.errors import HfgenError, StreamClosedError
from hfgen._core.fetch import check_piece, ending_error
from hfgen._core.headers import Headers
from hfgen._sync.deadlines import unwatch, watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from hfgen._io.interrupt import Interrupt

T = TypeVar("T")

_LEFT = "the stream was closed before its end"

# Given the error that ended a stream: how to go on, or None.
Reopen: TypeAlias = Callable[[HfgenError], Opened[T] | None]


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

    def __init__(self, opened: Opened[T], interrupt: Interrupt, reopen: Reopen[T]) -> None:
        self._ended = False
        self._left = False
        self.status = opened.response.status
        self.headers = Headers(opened.response.headers)
        # They hold no reference to this object, so that dropping the stream ends them at once.
        self._body = _Body(opened, interrupt)
        self._items = _pump(self._body, interrupt, reopen)

    def __iter__(self) -> Iterator[T]:
        # Each loop gets an iterator of its own: when the loop drops it, the stream is closed.
        try:
            if not self._left:
                # Not by `__next__`, which would be one more call for every token.
                for item in self._items:
                    yield item
                    if self._left:
                        break
                else:
                    self._ended = True
                    return
        except Exception:
            if not self._left:
                self._ended = True
                raise
        finally:
            self.close()
        raise StreamClosedError(_LEFT)

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
        raise StreamClosedError(_LEFT)

    def close(self) -> None:
        """Close the connection, which ends the generation on the server. Repeating it is fine."""
        if not self._ended:
            self._left = True
        self._body.close()

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
        return f"<Stream {self.status} {name_state(has_ended=self._ended, is_closed=self._left)}>"


class _Body(Generic[T]):
    """The answer that a stream reads at present: another one after a break that was mended."""

    def __init__(self, opened: Opened[T], interrupt: Interrupt) -> None:
        self._interrupt = interrupt
        self._unsubscribe: Callable[[], object] | None = None
        self._is_closed = False
        self.change(opened)

    def change(self, opened: Opened[T]) -> None:
        """Read on from here."""
        self.release()
        self.opened = opened
        body: Iterable[bytes] = opened.response.body  # type: ignore[assignment] # sync
        self.pieces = iter(() if opened.break_error is not None else body)
        self._unsubscribe = self._interrupt.subscribe(opened.response.close)
        if self._is_closed:
            opened.response.close()

    def release(self) -> None:
        """Close the answer at hand, once."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self.opened.response.close()
            self._unsubscribe = None

    def close(self) -> None:
        """Close what is open, and end the interrupt."""
        self._is_closed = True
        if self._unsubscribe is not None:
            unwatch(self._interrupt)
            self.release()


def _pump(body: _Body[T], interrupt: Interrupt, reopen: Reopen[T]) -> Iterator[T]:
    while True:
        try:
            yield from _read(body, interrupt)
            return
        except HfgenError as error:
            interrupt.deadline = None
            if (opened := reopen(error)) is None:
                raise
            body.change(opened)


def _read(body: _Body[T], interrupt: Interrupt) -> Iterator[T]:  # noqa: C901, PLR0912 - one loop
    """Yield the items of the answer at hand; raise what is wrong with it, or with its end."""
    decoder, pieces, broke = body.opened.decoder, body.pieces, body.opened.break_error
    items: Iterable[T] = body.opened.ready
    waits = ends = False
    while True:
        if not interrupt.aborted:
            for item in items:
                if waits or ends:
                    # The deadline does not run while the caller handles an item.
                    interrupt.deadline = None
                    waits = ends = False
                yield item
                if interrupt.aborted:
                    break
        try:
            if interrupt.aborted:
                raise interrupt.error()
            if decoder.is_complete:
                # Once only, because a server may go on sending for ever.
                if not ends:
                    interrupt.expect_end()
                    watch(interrupt)
                    ends = True
            elif not waits:
                interrupt.expect_next()
                waits = True
            piece = next(pieces, None)
            # A connection that was cut can look like one that has come to its end.
            if interrupt.aborted:
                raise interrupt.error()
            if piece is None and broke is not None:
                raise broke
        except Exception as error:  # noqa: BLE001 - a fetch raises what it likes
            if (failure := ending_error(decoder, error, interrupt)) is not None:
                raise failure  # noqa: B904 - chained where it was made
            yield from decoder.take_rest()
            return
        if piece is None:
            break
        items = decoder.feed(piece if type(piece) is bytes else check_piece(piece))
    yield from decoder.finish()
