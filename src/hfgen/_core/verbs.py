"""What becomes of an answer with a good status: each verb's part of the conversation. No I/O."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from hfgen._core.body import MAX_ANSWER_BYTES, Bytes, Events, Whole, folded, whole_chunk
from hfgen._core.conversation import MAX_ERROR_BYTES, Drop, Opened, Peek, Read
from hfgen._core.dialects.base import malformed
from hfgen._core.errors import (
    ConnectError,
    HfgenError,
    IncompleteGenerationError,
    MalformedStreamError,
    StatusError,
    TimeoutError,  # noqa: A004
)
from hfgen._core.headers import Headers, media_type
from hfgen._core.sse import MAX_EVENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hfgen._core.answers import Chunk, GeneratedText
    from hfgen._core.body import Decoder
    from hfgen._core.conversation import Accept, Conversation, WillRetry
    from hfgen._core.dialects.base import Dialect
    from hfgen._core.fetch import FetchResponse

T = TypeVar("T")


def answers(
    dialect: Dialect, max_event_bytes: int = MAX_EVENT_BYTES
) -> Accept[list[GeneratedText]]:
    """Accept an answer as `run` returns it, also from a server that streams regardless."""

    def accept(_: object, response: FetchResponse) -> Conversation[list[GeneratedText]]:
        content = yield from body(None, response)
        headers = Headers(response.headers)
        if media_type(headers) != "text/event-stream":
            return dialect.answers(content, headers)
        events: Events[Chunk] = Events(
            dialect, whole_chunk, headers, max_event_bytes=max_event_bytes
        )
        return folded([*events.feed(content), *events.finish()])

    return accept


def items(
    dialect: Dialect,
    select: Callable[[Chunk], T | None],
    max_event_bytes: int = MAX_EVENT_BYTES,
) -> Accept[Opened[T]]:
    """Accept an answer as `stream` reads it, also from a server that does not stream."""

    def accept(_: object, response: FetchResponse) -> Conversation[Opened[T]]:
        headers = Headers(response.headers)
        kind = media_type(headers)
        if kind == "text/html":
            page: bytes = yield Read(response, MAX_ERROR_BYTES)
            raise malformed(page, "the server answered with a web page", MalformedStreamError)
        if kind == "application/json" or kind.endswith("+json"):
            return Opened(response, Whole(dialect, select, headers))
        events = Events(dialect, select, headers, max_event_bytes=max_event_bytes)
        seen = yield from _look(events, response, max_event_bytes)
        if isinstance(seen.error, IncompleteGenerationError) and _is_json(seen.pieces):
            # It did not say so.
            whole = Whole(dialect, select, headers)
            return Opened(response, whole, _fed(whole, seen.pieces), seen.broke)
        if seen.error is not None:
            yield Drop(response)
            raise seen.error
        return Opened(response, events, events.items(seen.chunks))

    return accept


def raw(dialect: Dialect, max_event_bytes: int = MAX_EVENT_BYTES) -> Accept[Opened[bytes]]:
    """Accept an answer as `stream_bytes` hands it out, unless it is better to try again."""

    def accept(will_retry: WillRetry, response: FetchResponse) -> Conversation[Opened[bytes]]:
        headers = Headers(response.headers)
        if media_type(headers) != "text/event-stream":
            return Opened(response, Bytes())
        events = Events(dialect, whole_chunk, headers, max_event_bytes=max_event_bytes)
        seen = yield from _look(events, response, max_event_bytes)
        if seen.error is not None and (yield from will_retry(seen.error)):
            yield Drop(response)
            raise seen.error
        return Opened(response, Bytes(), _fed(Bytes(), seen.pieces), seen.broke)

    return accept


def body(_: object, response: FetchResponse) -> Conversation[bytes]:
    """Accept an answer as nothing but its body."""
    content: bytes = yield Read(response, MAX_ANSWER_BYTES + 1)
    if len(content) > MAX_ANSWER_BYTES:
        raise malformed(content, f"the answer exceeds {MAX_ANSWER_BYTES} bytes")
    return content


class _Seen(msgspec.Struct, frozen=True):
    """What was read to look at the first chunk, what is wrong with it, and how it broke off."""

    pieces: list[bytes]
    chunks: Iterable[Chunk] = ()
    error: HfgenError | None = None
    broke: HfgenError | None = None


def _look(
    events: Events[Any], response: FetchResponse, max_event_bytes: int
) -> Conversation[_Seen]:
    """Read until the first chunk has come: servers report overload in its place, under a 200."""
    pieces: list[bytes] = []
    size = 0
    try:
        while True:
            piece: bytes | None = yield Peek(response)
            if piece is None:
                chunks = events.last()
            else:
                pieces.append(piece)
                chunks = events.chunks(piece)
            for first in chunks:
                return _Seen(pieces, chain((first,), chunks))
            if piece is None or events.has_ended:
                return _Seen(pieces)
            size += len(piece)
            if size > 2 * max_event_bytes:
                # Comments: what has been looked at is kept, and these may go on for ever.
                what = f"{size} bytes have come, and no token among them (max_event_bytes)"
                return _Seen(pieces, error=malformed(piece, what, MalformedStreamError))
    except (StatusError, MalformedStreamError, IncompleteGenerationError) as error:
        return _Seen(pieces, error=error)
    except (ConnectError, TimeoutError) as error:
        ending = events.interrupted(error)
        if ending is not None and ending is not error:
            ending.__cause__ = error
        return _Seen(pieces, error=ending, broke=error)


def _fed(decoder: Decoder[T], pieces: list[bytes]) -> Iterator[T]:
    return chain.from_iterable(map(decoder.feed, pieces))


def _is_json(pieces: list[bytes]) -> bool:
    start = next((words for piece in pieces if (words := piece.lstrip())), b"")
    return start[:1] in {b"{", b"["}
