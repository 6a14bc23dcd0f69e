"""What a dialect is: how one family of servers wants to be asked, and how it answers. No I/O.

To add one, write a module beside `tgi` with a class of this shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from hfgen._core import server_errors
from hfgen._core.errors import MalformedAnswerError, MalformedStreamError
from hfgen._core.headers import NO_HEADERS, Headers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hfgen._core.answers import Chunk, GeneratedText
    from hfgen._core.sse import Event

_SHOWN = 200
# Invalid UTF-8 inside a string is not among msgspec's own errors.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class EventReader(Protocol):
    """Reads the events of one stream, in order.

    Attributes:
        complete: Whether all tokens have come.
    """

    complete: bool

    def read(self, events: Iterable[Event]) -> Iterator[Chunk]:
        """Yield the chunks that the events complete.

        Raises:
            StatusError: An event reports an error.
            MalformedStreamError: It cannot be read.
        """

    def rest(self) -> Sequence[Chunk]:
        """Return the chunks that were held back for what might follow, once nothing does."""


class Dialect(Protocol):
    """How one request is put to a family of servers, and how they answer it."""

    def body(self, *, stream: bool) -> bytes:
        """Return the body that asks for what the request asks for.

        Raises:
            InvalidRequestError: It cannot be asked for.
        """

    def answers(self, body: bytes, headers: Headers = NO_HEADERS) -> list[GeneratedText]:
        """Return what a JSON body, that came under these headers, answers.

        Raises:
            StatusError: The body reports an error.
            MalformedAnswerError: It cannot be read.
        """

    def events(self, headers: Headers = NO_HEADERS, *, only_text: bool = False) -> EventReader:
        """Return a reader for the events of a new stream, that comes under these headers.

        Of a chunk that it is to read `only_text` of it need know nothing but `token.text` and
        `token.special`.
        """


def read_non_chunk(event: Event, headers: Headers, why: str) -> bool:
    """Take in an event that is no chunk; return whether it says that the stream is at its end.

    Raises:
        StatusError: It reports an error.
        MalformedStreamError: It is nothing that is known.
    """
    data = event.data.strip()
    if not data:
        return False
    if data == b"[DONE]":
        # Servers that end with `finish_reason: null` say only so that it is the end.
        return True
    if fault := find_error(data):
        raise server_errors.error_from(fault, headers=headers, body=data)
    if event.name == b"error":
        raise server_errors.error_from(
            server_errors.error_in_body(data), headers=headers, body=data
        )
    if event.name not in {b"", b"message"}:
        # As a browser does: who does not listen to a type of event does not get it.
        return False
    raise malformed_error(data, f"an event in the stream is {why}", MalformedStreamError) from None


def find_error(data: bytes) -> server_errors.ReportedError | None:
    """Return the error that a body or an event reports, None if it reports none."""
    try:
        return server_errors.error_in_json(msgspec.json.decode(data))
    except UNREADABLE:
        return None


def preview(data: bytes) -> str:
    """Return the bytes as a message shows them: cut to a readable length."""
    return repr(data if len(data) <= _SHOWN else data[:_SHOWN] + b"...")


def malformed_error(
    data: bytes, what: str, kind: type[MalformedAnswerError] = MalformedAnswerError
) -> MalformedAnswerError:
    """Return the error for bytes that cannot be read as what they ought to be."""
    return kind(f"{what}: {preview(data)}")
