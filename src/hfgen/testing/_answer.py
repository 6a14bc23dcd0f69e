"""The answer to one request, and the steps of its body: frozen values. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Pause:
    """Send nothing for a while, then go on.

    Attributes:
        seconds: How long. A client that hangs up meanwhile ends the answer.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Hang:
    """Send nothing more, and leave the connection open until the client hangs up."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Close the connection here and now; nothing that follows is sent.

    Attributes:
        reset: Whether to close it by a TCP reset, as a crashed server or a firewall does, and not
            in an orderly way. What was sent just before may then be lost to the client.
    """

    reset: bool = False


Step: TypeAlias = bytes | Pause | Hang | Cut
"""A step of a body. Each `bytes` is sent by itself, in chunked framing as a chunk of its own."""

Framing: TypeAlias = Literal["chunked", "length", "close", "raw"]
"""How a client learns where a body ends.

- "chunked": each `bytes` of the body is a chunk.
- "length": a `Content-Length`, of all the bytes of the body, also of those after a `Cut`.
- "close": the end of the connection is the end of the body.
- "raw": the body is all that is sent: status line and headers are the script's own business.
"""


@dataclass(frozen=True, slots=True)
class ScriptedAnswer:
    """What to answer to one request. Most are made by functions: `tokens`, `status`, `answer`, ….

    Attributes:
        body: The steps of the body, in their order.
        status: The HTTP status.
        headers: Names and values, sent as they are and in this order. A header that the framing
            needs is added where it is not among them.
        framing: How the client learns where the body ends.
        delay: Seconds to wait before the status line.

    Raises:
        TypeError: A step of the body is none.
        ValueError: There is no such framing.
    """

    body: tuple[Step, ...] = ()
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    framing: Framing = "chunked"
    delay: float = 0.0

    def __post_init__(self) -> None:
        for step in self.body:
            if not isinstance(step, bytes | Pause | Hang | Cut):
                raise TypeError(f"a step of a body is bytes, Pause, Hang or Cut, not {step!r}")
        if self.framing not in get_args(Framing):
            raise ValueError(
                f"framing must be one of {', '.join(get_args(Framing))}, not {self.framing!r}"
            )

    @property
    def content(self) -> bytes:
        """The bytes of the body that are sent: those before the first `Cut` or `Hang`."""
        sent = []
        for step in self.body:
            if isinstance(step, Cut | Hang):
                break
            if isinstance(step, bytes):
                sent.append(step)
        return b"".join(sent)

    def in_pieces(self, size: int = 1) -> ScriptedAnswer:
        """Return the answer with its body sent in pieces, each by itself.

        Args:
            size: How many bytes a piece has.

        Raises:
            ValueError: The size is less than 1.
        """
        if size < 1:
            raise ValueError(f"size must be at least 1, not {size}")
        return replace(self, body=tuple(_pieces(self.body, size)))

    def slowly(self, seconds: float, *, size: int = 1) -> ScriptedAnswer:
        """Return the answer with its body sent in pieces, and a pause after each.

        Args:
            seconds: How long each pause is.
            size: How many bytes a piece has.

        Raises:
            ValueError: The size is less than 1.
        """
        steps: list[Step] = []
        for step in self.in_pieces(size).body:
            steps.append(step)
            if isinstance(step, bytes):
                steps.append(Pause(seconds))
        return replace(self, body=tuple(steps))

    def at(self, place: int | bytes, *steps: Step) -> ScriptedAnswer:
        r"""Return the answer with steps put into its body, at any place: also inside an event.

        `tokens("Once").at(10, Cut())` cuts after ten bytes; `tokens("é").at(b"\xc3", Hang())`
        stalls in the middle of a character.

        Args:
            place: So many bytes from the start of the body, less than 0 from its end; or right
                after the first occurrence of these bytes.
            steps: What to do there.

        Raises:
            ValueError: The body has no such place.
        """
        whole = b"".join(step for step in self.body if isinstance(step, bytes))
        offset = _offset(whole, place)
        body: list[Step] = []
        left: int | None = offset
        for step in self.body:
            if left is None or not isinstance(step, bytes) or len(step) < left:
                left = left - len(step) if left is not None and isinstance(step, bytes) else left
                body.append(step)
                continue
            body += [part for part in (step[:left], *steps, step[left:]) if part != b""]
            left = None
        return replace(self, body=(*body, *steps) if left is not None else tuple(body))

    def after(self, seconds: float) -> ScriptedAnswer:
        """Return the answer, given after a delay.

        Args:
            seconds: How long to wait before the status line.
        """
        return replace(self, delay=seconds)

    def with_headers(self, headers: Mapping[str, str]) -> ScriptedAnswer:
        """Return the answer with these headers, in place of any of the same names."""
        names = {name.lower() for name in headers}
        kept = [(name, value) for name, value in self.headers if name.lower() not in names]
        return replace(self, headers=(*kept, *headers.items()))


def _pieces(body: Iterable[Step], size: int) -> Iterator[Step]:
    for step in body:
        if isinstance(step, bytes):
            yield from (step[start : start + size] for start in range(0, len(step), size))
        else:
            yield step


def _offset(whole: bytes, place: int | bytes) -> int:
    if isinstance(place, bytes):
        found = whole.find(place)
        if found < 0:
            raise ValueError(f"the body has no {place!r}")
        return found + len(place)
    offset = place if place >= 0 else len(whole) + place
    if not 0 <= offset <= len(whole):
        raise ValueError(f"the body has {len(whole)} bytes, and no place {place}")
    return offset
