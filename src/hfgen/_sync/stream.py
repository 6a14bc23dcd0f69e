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

    from hfgen._core.answers import StreamDetails
    from hfgen._io.interrupt import Interrupt

T = TypeVar("T")

_CLOSED = "the stream was closed before its end"

# Takes the error that ended a stream; returns an answer to go on with, or None.
Reopen: TypeAlias = Callable[[HfgenError], Opened[T] | None]


class Stream(Generic[T]):
    """The items of an answer, as they come: an iterator and a context manager.

    When a `for` loop over a stream ends, in any way, the stream is closed: the connection closes,
    and the server stops generating. Dropping the stream closes it, too. To take some items and go
    on later, use `next`. Iterating over a stream that was closed before its end raises
    `StreamClosedError`, so that a part never looks like the whole.

    One thread iterates; any thread may call `close`.

    Attributes:
        status: The HTTP status of the answer.
        headers: Its headers; names are case-insensitive.
        text: The text generated so far; after the end all of it, without special tokens. Empty for
            `stream_bytes`.
        details: The finish reason and the numbers of tokens, after the end, if the server sends
            them: TGI if the request asks for `details`, `/v1/completions` always. Else None. Of
            several sequences those of the first.
    """

    def __init__(self, opened: Opened[T], interrupt: Interrupt, reopen: Reopen[T]) -> None:
        self._has_ended = False
        self._is_closed = False
        self.status = opened.response.status
        self.headers = Headers(opened.response.headers)
        # They do not refer to this object, so dropping the stream finalises it at once.
        self._body = _Body(opened, interrupt)
        self._items = _pump(self._body, interrupt, reopen)

    def __iter__(self) -> Iterator[T]:
        # A generator for each loop: when the loop drops it, `finally` closes the stream.
        try:
            if not self._is_closed:
                # Not by `__next__`, which costs one more call for each token.
                for item in self._items:
                    yield item
                    if self._is_closed:
                        break
                else:
                    self._has_ended = True
                    return
        except Exception:
            if not self._is_closed:
                self._has_ended = True
                raise
        finally:
            self.close()
        raise StreamClosedError(_CLOSED)

    def __next__(self) -> T:
        try:
            if not self._is_closed:
                return next(self._items)
        except BaseException as error:
            if not self._is_closed:
                # An error or the end of the answer ends the stream; Ctrl-C only closes it.
                self._has_ended = isinstance(error, Exception)
                self.close()
                raise
        raise StreamClosedError(_CLOSED)

    @property
    def text(self) -> str:
        return self._body.earlier_text + self._body.opened.decoder.text

    @property
    def details(self) -> StreamDetails | None:
        return self._body.opened.decoder.details

    def close(self) -> None:
        """Close the connection; the server stops generating. May be called repeatedly."""
        if not self._has_ended:
            self._is_closed = True
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
        state = name_state(has_ended=self._has_ended, is_closed=self._is_closed)
        return f"<Stream {self.status} {state}>"


class _Body(Generic[T]):
    """The answer that a stream is reading. It changes when the stream resumes after a break."""

    def __init__(self, opened: Opened[T], interrupt: Interrupt) -> None:
        self._interrupt = interrupt
        self._unsubscribe: Callable[[], object] | None = None
        self._is_closed = False
        # The text of the answers before the current one.
        self.earlier_text = ""
        self._take(opened)

    def change(self, opened: Opened[T]) -> None:
        """Release the current answer and go on with this one."""
        self.release()
        self.earlier_text += self.opened.decoder.text
        self._take(opened)

    def _take(self, opened: Opened[T]) -> None:
        self.opened = opened
        body: Iterable[bytes] = opened.response.body  # type: ignore[assignment] # sync
        self.pieces = iter(() if opened.break_error is not None else body)
        self._unsubscribe = self._interrupt.subscribe(opened.response.close)
        if self._is_closed:
            opened.response.close()

    def release(self) -> None:
        """Close the current answer, once."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self.opened.response.close()
            self._unsubscribe = None

    def close(self) -> None:
        """Release the answer and end the interrupt."""
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
    """Yield the items of one answer; raise an error if the answer or its end is wrong."""
    decoder, pieces, broke = body.opened.decoder, body.pieces, body.opened.break_error
    items: Iterable[T] = body.opened.ready
    is_waiting = is_ending = False
    while True:
        if not interrupt.aborted:
            for item in items:
                if is_waiting or is_ending:
                    # The deadline does not run while the caller handles an item.
                    interrupt.deadline = None
                    is_waiting = is_ending = False
                yield item
                if interrupt.aborted:
                    break
        try:
            if interrupt.aborted:
                raise interrupt.error()
            if decoder.is_complete:
                # Only once: the limit is for all that comes after the last event.
                if not is_ending:
                    interrupt.expect_end()
                    watch(interrupt)
                    is_ending = True
            elif not is_waiting:
                interrupt.expect_next()
                is_waiting = True
            piece = next(pieces, None)
            # A connection that was cut can look like the end of the body.
            if interrupt.aborted:
                raise interrupt.error()
            if piece is None and broke is not None:
                raise broke
        except Exception as error:  # noqa: BLE001 - a fetch raises what it likes
            if (failure := ending_error(decoder, error, interrupt)) is not None:
                raise failure  # noqa: B904 - its cause is set already
            yield from decoder.take_rest()
            return
        if piece is None:
            break
        items = decoder.feed(piece if type(piece) is bytes else check_piece(piece))
    yield from decoder.finish()
