"""`Dialect`: how one family of servers expects a request, and how it answers. No I/O.

A dialect is made for one request. `encode_body` gives the body to post. A JSON answer goes to
`read_answers`. For a stream, `make_event_reader` gives a reader that turns events into chunks.
To add a dialect, write a module beside `tgi` with a class of this shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hfgen._core import server_errors
from hfgen._core.dialects.server_kind import SEVERAL_CALLS
from hfgen._core.errors import (
    IncompleteGenerationError,
    MalformedAnswerError,
    MalformedStreamError,
)
from hfgen._core.headers import NO_HEADERS, Headers
from hfgen._core.server_json import DECODE_ERRORS, decode_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from hfgen._core.answers import Chunk, GeneratedText, StreamDetails
    from hfgen._core.sse import Event

_MAX_SHOWN = 200
# Fields that say what an event is. They hold no text.
_LABELS = frozenset({"id", "object", "created", "model", "type", "event", "index"})
# How servers and proxies name an event that only keeps the connection open.
_KEEP_ALIVES = ("ping", "heartbeat", "keepalive", "keep-alive", "keep_alive")


class EventReader(Protocol):
    """Reads the events of one stream, in order.

    Attributes:
        is_complete: Whether all tokens have come.
        details: The details of the answer (of the first sequence), once they have come.
    """

    @property
    def is_complete(self) -> bool: ...

    @property
    def details(self) -> StreamDetails | None: ...

    def read(self, events: Iterable[Event]) -> Iterator[Chunk]:
        """Yield the chunks that the events complete.

        Raises:
            StatusError: An event reports an error.
            MalformedStreamError: An event cannot be read.
        """

    def take_rest(self) -> Sequence[Chunk]:
        """Return the chunks that were held back until more events come; for the end of a stream."""


class Dialect(Protocol):
    """How one request is written for a family of servers, and how their answers are read."""

    def encode_body(self, *, stream: bool) -> bytes:
        """Return the JSON body of the HTTP request.

        Raises:
            InvalidRequestError: The dialect, or the server, has no way to express the request.
        """

    def read_answers(self, body: bytes, headers: Headers = NO_HEADERS) -> list[GeneratedText]:
        """Return the answers that a JSON body holds; `headers` are those of the HTTP answer.

        Raises:
            StatusError: The body reports an error.
            MalformedAnswerError: The body cannot be read.
        """

    def make_event_reader(
        self, headers: Headers = NO_HEADERS, *, only_text: bool = False
    ) -> EventReader:
        """Return a reader for the events of one stream.

        Args:
            headers: The headers of the HTTP answer.
            only_text: Whether the caller needs nothing of a chunk but its `generated_text` and
                `text` and `special` of its token. The reader may leave out the rest.
        """


def read_non_chunk(
    event: Event, headers: Headers, problem: str, *, is_complete: bool = False
) -> bool:
    """Read an event that is no chunk; return whether it ends the stream.

    Args:
        event: The event.
        headers: The headers of the HTTP answer.
        problem: Why the event is no chunk, for the message of an error.
        is_complete: Whether all tokens have come, so that no event can hold a part of the text.

    Raises:
        StatusError: The event reports an error.
        MalformedStreamError: The event is of no known kind, and may hold a part of the text.
    """
    data = event.data.strip()
    if not data:
        return False
    if data == b"[DONE]":
        # Where the finish reason is null, this is the only mark of the end.
        return True
    if report := find_error(data):
        raise server_errors.make_status_error(report, headers=headers, body=data)
    if event.name == b"error":
        raise server_errors.make_status_error(
            server_errors.parse_body_error(data), headers=headers, body=data
        )
    # Events of an unknown type are ignored, as browsers do.
    if is_complete or event.name not in {b"", b"message"} or _holds_nothing(data):
        return False
    raise malformed_error(
        data, f"an event in the stream is {problem}", MalformedStreamError
    ) from None


def find_error(data: bytes) -> server_errors.ReportedError | None:
    """Return the error that a body or an event reports, None if it reports none."""
    try:
        return server_errors.parse_json_error(decode_json(data))
    except DECODE_ERRORS:
        return None


def check_sequence_count(
    count: int, requested: int, kind: type[MalformedAnswerError | IncompleteGenerationError]
) -> None:
    """Check that a server gave as many sequences as `num_return_sequences` asks for.

    Args:
        count: How many it gave.
        requested: How many the request asks for.
        kind: The class of the error.

    Raises:
        MalformedAnswerError, IncompleteGenerationError: It gave fewer.
    """
    if count < requested:
        raise kind(
            f"the server gave {count} of {requested} texts: it seems to ignore "
            f"num_return_sequences; {SEVERAL_CALLS}"
        )


def _holds_nothing(data: bytes) -> bool:
    """Tell whether an event holds no text: it has nothing but nulls and labels, or is a ping.

    Other events that are no chunk are not ignored: their text would be missing unnoticed.
    """
    try:
        document = decode_json(data)
    except DECODE_ERRORS:
        return False
    if not isinstance(document, dict):
        return _is_null(document)
    return any(document.get(key) in _KEEP_ALIVES for key in ("type", "event", "object")) or all(
        _is_null(value) for key, value in document.items() if key not in _LABELS
    )


def _is_null(value: Any) -> bool:
    return all(map(_is_null, value)) if isinstance(value, list) else value is None


def malformed_error(
    data: bytes, problem: str, kind: type[MalformedAnswerError] = MalformedAnswerError
) -> MalformedAnswerError:
    """Return the error for bytes that cannot be read; the message has the problem and the start."""
    start = data if len(data) <= _MAX_SHOWN else data[:_MAX_SHOWN] + b"..."
    return kind(f"{problem}: {start!r}")
