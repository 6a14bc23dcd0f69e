"""What each verb makes of an answer with a good status: `Run`, `Chunks`, `Texts`, `RawBytes`.

For a stream, the first event is read before the stream is opened: servers report overload there,
under a status of 200, and then the call can still be tried again.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import msgspec

from hfgen._core.answers import Chunk
from hfgen._core.body import (
    MAX_ANSWER_BYTES,
    EventBody,
    JsonBody,
    RawBody,
    answers_from_chunks,
    select_chunk,
    select_text,
)
from hfgen._core.conversation import MAX_ERROR_BYTES, Drop, Opened, Peek, Read
from hfgen._core.dialects.base import malformed_error
from hfgen._core.errors import (
    ConnectError,
    ContentFilterError,
    HfgenError,
    IncompleteGenerationError,
    InvalidRequestError,
    MalformedStreamError,
    StatusError,
    TimeoutError,  # noqa: A004
)
from hfgen._core.headers import Headers, media_type
from hfgen._core.request import count_sequences
from hfgen._core.resume import Resumption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from hfgen._core.answers import GeneratedText
    from hfgen._core.body import Decoder
    from hfgen._core.conversation import Conversation, WillRetry
    from hfgen._core.dialects.base import Dialect
    from hfgen._core.fetch import FetchResponse
    from hfgen._core.settings import Settings

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


class Verb(Protocol[R_co]):
    """What one of the four verbs makes of an answer with a good status.

    Attributes:
        streams: Whether the server is asked for a stream.
        resumption: Goes on with the stream after a break; None if the caller does not want that.
    """

    @property
    def streams(self) -> bool: ...

    @property
    def resumption(self) -> Resumption | None: ...

    def accept(
        self, dialect: Dialect, will_retry: WillRetry, response: FetchResponse, /
    ) -> Conversation[R_co]:
        """Read as much of the answer as the verb needs; return the verb's result."""


class Run:
    """`run`: the whole answer, also from a server that streams without being asked to."""

    streams = False
    resumption = None

    def __init__(self, _: Mapping[str, Any], settings: Settings) -> None:
        self._max_event_bytes = settings.max_event_bytes

    def accept(
        self, dialect: Dialect, will_retry: WillRetry, response: FetchResponse
    ) -> Conversation[list[GeneratedText]]:
        content = yield from accept_body(will_retry, response)
        headers = Headers(response.headers)
        if media_type(headers) != "text/event-stream":
            return dialect.read_answers(content, headers)
        events: EventBody[Chunk] = EventBody(
            dialect, select_chunk, headers, max_event_bytes=self._max_event_bytes
        )
        return answers_from_chunks([*events.feed(content), *events.finish()])


class _Items(Generic[T]):
    """A stream of the items that `select` makes of chunks; also if the server does not stream."""

    streams = True
    select: Callable[[Chunk], T | None]

    def __init__(self, request: Mapping[str, Any], settings: Settings) -> None:
        self._max_event_bytes = settings.max_event_bytes
        self.resumption: Resumption | None = None
        self._sequence_count = count_sequences(request)
        self._select = self.select
        if settings.resume:
            select, resumption = self.select, Resumption(request)
            self.resumption = resumption
            self._select = lambda chunk: select(resumption.take_chunk(chunk))

    def accept(
        self, dialect: Dialect, _: WillRetry, response: FetchResponse
    ) -> Conversation[Opened[T]]:
        select, max_event_bytes = self._select, self._max_event_bytes
        max_answers = self._sequence_count
        headers = Headers(response.headers)
        kind = media_type(headers)
        if kind == "text/html":
            page: bytes = yield Read(response, MAX_ERROR_BYTES)
            raise malformed_error(page, "the server answered with a web page", MalformedStreamError)
        if kind == "application/json" or kind.endswith("+json"):
            return Opened(response, JsonBody(dialect, select, headers, max_answers=max_answers))
        events = EventBody(
            dialect,
            select,
            headers,
            max_event_bytes=max_event_bytes,
            resumption=self.resumption,
        )
        start = yield from _peek_first_chunk(events, response, max_event_bytes)
        if isinstance(start.error, IncompleteGenerationError) and _is_json(start.pieces):
            # JSON without a JSON content type.
            body = JsonBody(dialect, select, headers, max_answers=max_answers)
            return Opened(response, body, _feed_all(body, start.pieces), start.break_error)
        if start.error is not None:
            yield Drop(response)
            raise start.error
        return Opened(response, events, events.select_items(start.chunks))


class Chunks(_Items[Chunk]):
    """`stream`: a stream of chunks."""

    select = staticmethod(select_chunk)


class Texts(_Items[str]):
    """`stream_tokens`: a stream of the texts of the tokens.

    Raises:
        InvalidRequestError: The request asks for several texts, whose tokens would be mixed.
    """

    select = staticmethod(select_text)

    def __init__(self, request: Mapping[str, Any], settings: Settings) -> None:
        super().__init__(request, settings)
        if self._sequence_count > 1:
            raise InvalidRequestError(
                "stream_tokens gives one text; for several (num_return_sequences) use run, or "
                "stream, whose chunks say in `sequence` which one they belong to"
            )


class RawBytes:
    """`stream_bytes`: the body as it arrives. If its first event is an error, `Retry` decides."""

    streams = True
    resumption = None

    def __init__(self, _: Mapping[str, Any], settings: Settings) -> None:
        self._max_event_bytes = settings.max_event_bytes

    def accept(
        self, dialect: Dialect, will_retry: WillRetry, response: FetchResponse
    ) -> Conversation[Opened[bytes]]:
        headers = Headers(response.headers)
        if media_type(headers) != "text/event-stream":
            return Opened(response, RawBody())
        events = EventBody(dialect, select_chunk, headers, max_event_bytes=self._max_event_bytes)
        start = yield from _peek_first_chunk(events, response, self._max_event_bytes)
        if start.error is not None and will_retry(start.error):
            yield Drop(response)
            raise start.error
        return Opened(response, RawBody(), _feed_all(RawBody(), start.pieces), start.break_error)


def accept_body(_: WillRetry, response: FetchResponse) -> Conversation[bytes]:
    """Return the body of the answer."""
    content: bytes = yield Read(response, MAX_ANSWER_BYTES + 1)
    if len(content) > MAX_ANSWER_BYTES:
        raise malformed_error(content, f"the answer exceeds {MAX_ANSWER_BYTES} bytes")
    return content


class _Start(msgspec.Struct, frozen=True):
    """The part of a body up to its first chunk.

    Attributes:
        pieces: The pieces that have been read.
        chunks: The first chunk, and others in these pieces.
        error: The error that the server reported in place of a chunk, or why the pieces cannot be
            read.
        break_error: If reading the body failed, the error.
    """

    pieces: list[bytes]
    chunks: Iterable[Chunk] = ()
    error: HfgenError | None = None
    break_error: HfgenError | None = None


def _peek_first_chunk(
    events: EventBody[Any], response: FetchResponse, max_event_bytes: int
) -> Conversation[_Start]:
    """Read until the first chunk has come, or something that takes its place."""
    # Peeked bytes are buffered, so comments may not go on for ever.
    limit = 2 * max_event_bytes
    pieces: list[bytes] = []
    size = 0
    try:
        while True:
            piece: bytes | None = yield Peek(response)
            rest = b""
            if piece is None:
                chunks = events.finish_chunks()
            else:
                pieces.append(piece)
                # Look no further than the limit, so that it does not depend on the sizes of pieces.
                rest = piece[limit - size :]
                chunks = events.read_chunks(piece[: limit - size])
            for first in chunks:
                return _Start(pieces, chain((first,), chunks, _read_later(events, rest)))
            if piece is None or events.has_ended:
                return _Start(pieces)
            size += len(piece)
            if rest:
                problem = f"{limit} bytes have come, and no token among them (max_event_bytes)"
                return _Start(pieces, error=malformed_error(piece, problem, MalformedStreamError))
    except (
        StatusError,
        MalformedStreamError,
        IncompleteGenerationError,
        ContentFilterError,
    ) as error:
        return _Start(pieces, error=error)
    except (ConnectError, TimeoutError) as error:
        failure = events.ending_error(error)
        if failure is not None and failure is not error:
            failure.__cause__ = error
        return _Start(pieces, error=failure, break_error=error)


def _read_later(events: EventBody[Any], piece: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a piece. It is decoded when the first of them is wanted."""
    if piece:
        yield from events.read_chunks(piece)


def _feed_all(decoder: Decoder[T], pieces: list[bytes]) -> Iterator[T]:
    return chain.from_iterable(map(decoder.feed, pieces))


def _is_json(pieces: list[bytes]) -> bool:
    return b"".join(pieces).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in {b"{", b"["}
