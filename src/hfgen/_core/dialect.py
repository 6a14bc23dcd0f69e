"""What a dialect is: how one family of servers wants to be asked, and how it answers. No I/O.

To add one, write a module beside `tgi` with a class of this shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from hfgen._errors import MalformedAnswerError
from hfgen._headers import NO_HEADERS, Headers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hfgen._answers import Chunk, GeneratedText
    from hfgen._core.sse import Event

_SHOWN = 200


class EventReader(Protocol):
    """Reads the events of one stream, in order.

    Attributes:
        complete: Whether the last event has been seen.
    """

    complete: bool

    def read(self, event: Event) -> Chunk | None:
        """Return the chunk that the event is, None if it is none.

        Raises:
            StatusError: The event reports an error.
            MalformedStreamError: It cannot be read.
        """


class Dialect(Protocol):
    """How to talk with one family of servers."""

    def body(self, request: Mapping[str, Any], *, stream: bool) -> bytes:
        """Return the body that asks for what the normalised request asks for.

        Raises:
            InvalidRequestError: It cannot be asked for.
        """

    def answers(self, body: bytes, headers: Headers = NO_HEADERS) -> list[GeneratedText]:
        """Return what a JSON body, that came under these headers, answers.

        Raises:
            StatusError: The body reports an error.
            MalformedAnswerError: It cannot be read.
        """

    def events(self, headers: Headers = NO_HEADERS) -> EventReader:
        """Return a reader for the events of a new stream, that comes under these headers."""


def shown(data: bytes) -> str:
    """Return the bytes as a message shows them: cut to a readable length."""
    return repr(data if len(data) <= _SHOWN else data[:_SHOWN] + b"...")


def malformed(
    data: bytes, what: str, kind: type[MalformedAnswerError] = MalformedAnswerError
) -> MalformedAnswerError:
    """Return the error for bytes that cannot be read as what they ought to be."""
    return kind(f"{what}: {shown(data)}")
