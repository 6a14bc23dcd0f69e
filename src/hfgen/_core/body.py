"""From the body of an answer to the items of a stream: `EventBody`, `JsonBody`, `RawBody`. No I/O.

A decoder is made for one body. The stream `feed`s it each piece that arrives, and takes the items
that the piece completes. At the end of the body, `finish` gives the last items, or raises. If
reading the body fails, `ending_error` tells what the stream raises; where nothing is missing it is
None, and `take_rest` gives the last items. Once `is_complete` is set, nothing more is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from hfgen._core.answers import Chunk, Details, GeneratedText, StreamDetails, Token
from hfgen._core.dialects.base import malformed_error
from hfgen._core.errors import (
    ConnectError,
    HfgenError,
    IncompleteGenerationError,
    MalformedStreamError,
)
from hfgen._core.headers import NO_HEADERS, Headers
from hfgen._core.sse import MAX_EVENT_BYTES, EventDecoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from hfgen._core.dialects.base import Dialect, EventReader
    from hfgen._core.resume import Resumption
    from hfgen._core.sse import Event

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

# Far more than any text with its details takes, and little enough for the memory of a process.
MAX_ANSWER_BYTES = 256 * 1024 * 1024


class Decoder(Protocol[T_co]):
    """Turns the body of one answer into items.

    Attributes:
        is_complete: Whether all items have been taken, though the body may not be at its end.
        text: The text generated so far.
        details: The details of the answer, once they have come.
    """

    is_complete: bool

    @property
    def text(self) -> str: ...

    @property
    def details(self) -> StreamDetails | None: ...

    def feed(self, piece: bytes) -> Iterator[T_co]:
        """Yield the items that this piece of the body completes."""

    def finish(self) -> Iterator[T_co]:
        """Yield the last items, at the end of the body.

        Raises:
            HfgenError: The body is not complete, or cannot be read.
        """

    def ending_error(self, error: HfgenError) -> HfgenError | None:
        """Return what the stream raises after reading the body failed; None if it is complete.

        Args:
            error: How reading the body failed.
        """

    def take_rest(self) -> Iterator[T_co]:
        """Yield the last items of a body that broke off, and for which `ending_error` is None."""


class RawBody:
    """The decoder of `stream_bytes`: items are the pieces of the body, as they arrive."""

    is_complete = False
    text = ""
    details = None

    def feed(self, piece: bytes) -> Iterator[bytes]:
        if piece:
            yield piece

    def finish(self) -> Iterator[bytes]:
        return iter(())

    def ending_error(self, error: HfgenError) -> HfgenError | None:
        return error

    def take_rest(self) -> Iterator[bytes]:
        return iter(())


class EventBody(Generic[T]):
    """The decoder of a body of server-sent events, in a dialect.

    Args:
        dialect: The dialect that the request was written in.
        select: Makes an item of a chunk, or returns None to skip the chunk.
        headers: The headers of the HTTP answer.
        max_event_bytes: How much data an event may have.
        resumption: What came before, if the stream can resume. Then the tokens of a character are
            held back until it is whole.
    """

    def __init__(
        self,
        dialect: Dialect,
        select: Callable[[Chunk], T | None],
        headers: Headers = NO_HEADERS,
        *,
        max_event_bytes: int = MAX_EVENT_BYTES,
        resumption: Resumption | None = None,
    ) -> None:
        self._resumption = resumption
        self._events = EventDecoder(max_event_bytes)
        # Decoding only the texts of tokens is faster.
        self._only_text = select is select_text
        self._reader = dialect.make_event_reader(headers, only_text=self._only_text)
        if resumption is not None:
            self._reader = _WholeCharacterReader(self._reader)
        self._select = select
        self._texts: list[str] = []
        # The chunks whose items the stream takes at present.
        self._chunks: Iterator[Chunk] = iter(())
        self.is_complete = False

    @property
    def text(self) -> str:
        """What has been generated so far."""
        return "".join(self._texts)

    @property
    def details(self) -> StreamDetails | None:
        """The details of the answer, once they have come."""
        details = self._reader.details
        if details is None or self._resumption is None:
            return details
        return self._resumption.join_details(details)

    @property
    def has_ended(self) -> bool:
        """Whether the last event has come, though its items may not have been taken yet."""
        return self._reader.is_complete

    def feed(self, piece: bytes) -> Iterator[T]:
        # As `select_items(read_chunks(piece))`, with fewer calls: this runs for every read.
        self._chunks = chunks = self._reader.read(self._events.feed(piece))
        return self._pick_items(chunks)

    def finish(self) -> Iterator[T]:
        return self.select_items(self.finish_chunks())

    def take_rest(self) -> Iterator[T]:
        return self.select_items(self._reader.take_rest())

    def read_chunks(self, piece: bytes) -> Iterator[Chunk]:
        """Return the chunks that this piece completes; `feed` selects its items from them."""
        return self._reader.read(self._events.feed(piece))

    def finish_chunks(self) -> Iterator[Chunk]:
        """Yield the last chunks, at the end of the body; `finish` selects its items from them."""
        try:
            yield from self._reader.read(self._events.flush())
        except MalformedStreamError as error:
            # The event cannot be read because it is cut off, not because the server wrote it wrong.
            if not self._reader.is_complete:
                raise self._incomplete_error("the stream ended inside an event,") from error
        if not self._reader.is_complete:
            raise self._incomplete_error("the stream ended")
        yield from self._reader.take_rest()

    def select_items(self, chunks: Iterable[Chunk]) -> Iterator[T]:
        """Return the items that `select` makes of these chunks."""
        self._chunks = iter(chunks)
        return self._pick_items(self._chunks)

    def _pick_items(self, chunks: Iterator[Chunk]) -> Iterator[T]:
        # Runs once for every token.
        select, only_text, texts = self._select, self._only_text, self._texts
        try:
            for chunk in chunks:
                token = chunk.token
                if not token.special:
                    texts.append(token.text)
                    if only_text:
                        yield token.text  # type: ignore[misc] # what `select_text` returns
                        continue
                if (item := select(chunk)) is not None:
                    yield item
            self.is_complete = self._reader.is_complete
        except HfgenError as error:
            error.text = self.text
            raise

    def ending_error(self, error: HfgenError) -> HfgenError | None:
        if self._reader.is_complete and next(self._chunks, None) is None:
            # All items have been taken, too.
            return None
        if isinstance(error, ConnectError):
            return self._incomplete_error(f"{error},")
        error.text = self.text
        return error

    def _incomplete_error(self, cause: str) -> IncompleteGenerationError:
        return IncompleteGenerationError(
            f"{cause} before the last event; `text` has what came", text=self.text
        )


class _WholeCharacterReader:
    """An event reader that holds the tokens of a character back until it is whole.

    A character may consist of several tokens; all but the last of them have an empty text. If the
    stream breaks between them, the text so far has nothing of the character, so the rest of the
    generation begins with all of its tokens.
    """

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader
        self._held: list[Chunk] = []

    @property
    def details(self) -> StreamDetails | None:
        return self._reader.details

    @property
    def is_complete(self) -> bool:
        return self._reader.is_complete

    def read(self, events: Iterable[Event]) -> Iterator[Chunk]:
        return self._hold_back(self._reader.read(events))

    def take_rest(self) -> Sequence[Chunk]:
        return list(self._hold_back(self._reader.take_rest()))

    def _hold_back(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            self._held.append(chunk)
            if chunk.token.text or chunk.token.special or chunk.generated_text is not None:
                released, self._held = self._held, []
                yield from released


class JsonBody(Generic[T]):
    """The decoder of a JSON body that answers a request for a stream.

    Its items are made of a chunk for each token, or of one chunk if the answer lists no tokens. A
    body of more than `MAX_ANSWER_BYTES`, or of more answers than `max_answers`, raises
    `MalformedStreamError`.
    """

    is_complete = False

    def __init__(
        self,
        dialect: Dialect,
        select: Callable[[Chunk], T | None],
        headers: Headers = NO_HEADERS,
        *,
        max_answers: int = 1,
    ) -> None:
        self._dialect = dialect
        self._headers = headers
        self._max_answers = max_answers
        self._select = select
        self._pieces: list[bytes] = []
        self._size = 0
        self.text = ""
        self.details: StreamDetails | None = None

    def feed(self, piece: bytes) -> Iterator[T]:
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > MAX_ANSWER_BYTES:
            problem = f"the answer exceeds {MAX_ANSWER_BYTES} bytes"
            raise malformed_error(b"".join(self._pieces[:99]), problem, MalformedStreamError)
        return iter(())

    def finish(self) -> Iterator[T]:
        body = b"".join(self._pieces)
        answers = self._dialect.read_answers(body, self._headers)
        if len(answers) > self._max_answers:
            problem = f"{len(answers)} answers have come, and {self._max_answers} asked for"
            raise malformed_error(body, problem, MalformedStreamError)
        for sequence, answer in enumerate(answers):
            for chunk in chunks_from_answer(answer, sequence):
                self.text += "" if chunk.token.special else chunk.token.text
                self.details = self.details or chunk.details
                if (item := self._select(chunk)) is not None:
                    yield item

    def ending_error(self, error: HfgenError) -> HfgenError | None:
        if isinstance(error, ConnectError):
            return IncompleteGenerationError(f"{error}, before the answer was whole")
        return error

    def take_rest(self) -> Iterator[T]:
        return iter(())


def select_chunk(chunk: Chunk) -> Chunk:
    """Select the chunk: what `stream` yields."""
    return chunk


def select_text(chunk: Chunk) -> str | None:
    """Select the text of the token, None for a special one: what `stream_tokens` yields."""
    return None if chunk.token.special else chunk.token.text


def name_state(*, has_ended: bool, is_closed: bool) -> str:
    """Return the word for the state of a stream, for its repr: "ended", "closed" or "open"."""
    return "ended" if has_ended else "closed" if is_closed else "open"


def answers_from_chunks(chunks: Iterable[Chunk]) -> list[GeneratedText]:
    """Return the answers that `run` would have given, made of the chunks of a stream."""
    sequences: dict[int, list[Chunk]] = {}
    for chunk in chunks:
        sequences.setdefault(chunk.sequence, []).append(chunk)
    return [_answer_from_chunks(sequences[number]) for number in sorted(sequences)]


def _answer_from_chunks(chunks: list[Chunk]) -> GeneratedText:
    tokens = [chunk.token for chunk in chunks]
    last = next((c for c in reversed(chunks) if c.generated_text is not None), None)
    text = last.generated_text if last else None
    if text is None:
        text = "".join(token.text for token in tokens if not token.special)
    if last is None or last.details is None:
        return GeneratedText(generated_text=text)
    details = Details(
        finish_reason=last.details.finish_reason,
        native_finish_reason=last.details.native_finish_reason,
        generated_tokens=last.details.generated_tokens,
        input_length=last.details.input_length,
        seed=last.details.seed,
        tokens=tokens,
        top_tokens=[c.top_tokens or [] for c in chunks]
        if any(c.top_tokens for c in chunks)
        else None,
    )
    return GeneratedText(generated_text=text, details=details)


def chunks_from_answer(answer: GeneratedText, sequence: int) -> Iterator[Chunk]:
    """Yield the chunks that a stream would have had, made of one answer of `run`."""
    details = answer.details or Details()
    tokens, tops = details.tokens, details.top_tokens or []
    text = "".join(token.text for token in tokens if not token.special)
    whole = answer.generated_text
    # Some servers list tokens without texts, or with other spellings. The whole text counts then.
    if not tokens or not whole.endswith(text) or (whole and not text):
        tokens, tops = [Token(text=whole)], []
    for index, token in enumerate(tokens, start=1):
        is_last = index == len(tokens)
        yield Chunk(
            index=index,
            token=token,
            top_tokens=tops[index - 1] if index <= len(tops) else None,
            generated_text=whole if is_last else None,
            details=_stream_details(details) if is_last and answer.details else None,
            sequence=sequence,
        )


def _stream_details(details: Details) -> StreamDetails:
    return StreamDetails(
        finish_reason=details.finish_reason,
        native_finish_reason=details.native_finish_reason,
        generated_tokens=details.generated_tokens,
        seed=details.seed,
        input_length=details.input_length or len(details.prefill) or None,
    )
