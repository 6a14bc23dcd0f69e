"""Answers: the value that describes one, and functions that make the usual ones. No I/O.

A `ScriptedAnswer` is frozen; its methods return changed copies. Its body is a tuple of steps: bytes
to send, `Pause`, `Hang` and `Cut`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

from hfgen.testing._events import (
    ServerKind,
    Special,
    chunk,
    done,
    event,
    make_details,
    overload_fault,
)

_MODEL = "scripted/model"

_Headers: TypeAlias = Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Pause:
    """Send nothing for a while, then go on.

    Attributes:
        seconds: How long. If the client hangs up meanwhile, the answer ends.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Hang:
    """Send nothing more, and leave the connection open until the client hangs up."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Close the connection now; later steps of the body are not sent.

    Attributes:
        reset: Whether to close it by a TCP reset, as a crashed server or a firewall does. The
            client may then lose what was sent just before. Default: close in order.
    """

    reset: bool = False


Step: TypeAlias = bytes | Pause | Hang | Cut
"""A step of a body. Each `bytes` is sent on its own; in chunked framing it is one chunk."""

Framing: TypeAlias = Literal["chunked", "length", "close", "raw"]
"""How a client learns where a body ends.

- "chunked": each `bytes` of the body is a chunk.
- "length": a `Content-Length`, of all bytes of the body, also of those after a `Cut`.
- "close": the body ends when the connection is closed.
- "raw": only the body is sent; the script has the status line and the headers in it.
"""


@dataclass(frozen=True, slots=True)
class ScriptedAnswer:
    """The answer to one request. Functions make the usual ones: `tokens`, `status`, `answer`, ….

    Attributes:
        body: The steps of the body, in their order.
        status: The HTTP status.
        headers: Names and values, sent as they are and in this order. Headers that the framing
            needs are added, unless they are among these.
        framing: How the client learns where the body ends.
        delay: Seconds to wait before the status line is sent.

    Raises:
        TypeError: Something in the body is not a step.
        ValueError: The framing is not one of `Framing`.
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
        pieces = []
        for step in self.body:
            if isinstance(step, Cut | Hang):
                break
            if isinstance(step, bytes):
                pieces.append(step)
        return b"".join(pieces)

    def in_pieces(self, size: int = 1) -> ScriptedAnswer:
        """Return the answer with its body cut into pieces, each of which is sent on its own.

        Args:
            size: How many bytes a piece has.

        Raises:
            ValueError: The size is less than 1.
        """
        if size < 1:
            raise ValueError(f"size must be at least 1, not {size}")
        steps: list[Step] = []
        for step in self.body:
            if isinstance(step, bytes):
                steps += [step[start : start + size] for start in range(0, len(step), size)]
            else:
                steps.append(step)
        return replace(self, body=tuple(steps))

    def slowly(self, seconds: float, *, size: int = 1) -> ScriptedAnswer:
        """Return the answer with its body cut into pieces, and a pause after each piece.

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
        r"""Return the answer with steps put into its body at any place, also inside an event.

        `tokens("Once").at(10, Cut())` cuts after ten bytes; `tokens("é").at(b"\xc3", Hang())`
        stalls in the middle of a character.

        Args:
            place: A number of bytes from the start of the body, or from its end if it is less than
                0; or bytes, after whose first occurrence the steps are put.
            steps: The steps to put there.

        Raises:
            ValueError: The body has no such place.
        """
        remaining = self._find_offset(place)
        for index, step in enumerate(self.body):
            if not isinstance(step, bytes):
                continue
            if remaining <= len(step):
                parts = (step[:remaining], *steps, step[remaining:])
                nonempty = [part for part in parts if part != b""]
                return replace(self, body=(*self.body[:index], *nonempty, *self.body[index + 1 :]))
            remaining -= len(step)
        return replace(self, body=(*self.body, *steps))

    def after(self, seconds: float) -> ScriptedAnswer:
        """Return the answer with a delay.

        Args:
            seconds: How long to wait before the status line is sent.
        """
        return replace(self, delay=seconds)

    def with_headers(self, headers: Mapping[str, str]) -> ScriptedAnswer:
        """Return the answer with these headers, in place of any of the same names."""
        names = {name.lower() for name in headers}
        others = [(name, value) for name, value in self.headers if name.lower() not in names]
        return replace(self, headers=(*others, *headers.items()))

    def _find_offset(self, place: int | bytes) -> int:
        """Return a place as a number of bytes from the start of the body."""
        content = b"".join(step for step in self.body if isinstance(step, bytes))
        if isinstance(place, bytes):
            start = content.find(place)
            if start < 0:
                raise ValueError(f"the body has no {place!r}")
            return start + len(place)
        offset = place if place >= 0 else len(content) + place
        if not 0 <= offset <= len(content):
            raise ValueError(f"the body has {len(content)} bytes, and no place {place}")
        return offset


def answer(
    *body: Step, status: int = 200, headers: _Headers = None, framing: Framing = "chunked"
) -> ScriptedAnswer:
    """Return an answer of any kind.

    Args:
        body: The steps of its body: bytes, `Pause`, `Hang`, `Cut`.
        status: The HTTP status.
        headers: The headers; None for only those that the framing needs.
        framing: How the client learns where the body ends.
    """
    return ScriptedAnswer(body, status, tuple((headers or {}).items()), framing)


def events(
    *steps: Mapping[str, Any] | Step, headers: _Headers = None, framing: Framing = "chunked"
) -> ScriptedAnswer:
    """Return a stream of server-sent events.

    Args:
        steps: A mapping becomes an event with this JSON; other steps are taken as they are, such as
            `comment()`, `Pause(1)`, `done()`, or bytes that are not an event at all.
        headers: Headers beside `Content-Type`, or one in its place.
        framing: How the client learns where the body ends.
    """
    body = (event(step) if isinstance(step, Mapping) else step for step in steps)
    headers = {"content-type": "text/event-stream"} | _lower_names(headers)
    return answer(*body, headers=headers, framing=framing)


def tokens(
    *parts: str | Special | Mapping[str, Any] | Step,
    finish_reason: str | None = None,
    details: Mapping[str, Any] | bool = False,
    ends: bool | None = None,
    headers: _Headers = None,
    framing: Framing = "chunked",
) -> ScriptedAnswer:
    """Return a stream of tokens as TGI sends it: each with its index, the last with the whole text.

    `tokens("Once", Pause(2), " upon", Special("</s>"))` is a complete stream. If a `Cut`, a `Hang`
    or an error event follows the last token, the whole text is left out, as in a stream that broke
    off: `tokens("Once", " upon", Cut())`.

    Args:
        parts: A text is a token, as is a `Special`, which is no part of the whole text; a mapping
            becomes an event with this JSON, such as `fault("...")`; other steps are taken as they
            are.
        finish_reason: Why the generation ended; if given, the last event has details. Default in
            details: "eos_token" after a special token, else "length".
        details: Whether the last event has details; or entries that these have beside the usual
            ones, or in their place.
        ends: Whether the event of the last token is the last event, with the whole text. Default:
            unless a `Cut`, a `Hang` or a mapping comes after it.
        headers: Headers beside `Content-Type`, or one in its place.
        framing: How the client learns where the body ends.
    """
    token_parts = {
        place: part for place, part in enumerate(parts) if isinstance(part, str | Special)
    }
    last = max(token_parts, default=-1)
    if ends is None:
        ends = not any(isinstance(part, Cut | Hang | Mapping) for part in parts[last + 1 :])
    steps: list[Any] = list(parts)
    for index, (place, token) in enumerate(token_parts.items(), 1):
        token_text = token.text if isinstance(token, Special) else token
        steps[place] = chunk(token_text, index=index, special=isinstance(token, Special))
    if ends and token_parts:
        last_event = steps[last]
        last_event["generated_text"] = "".join(part for part in parts if isinstance(part, str))
        if details is not False or finish_reason is not None:
            last_event["details"] = make_details(list(token_parts.values()), finish_reason)
            last_event["details"] |= details if isinstance(details, Mapping) else {}
    return events(*steps, headers=headers, framing=framing)


def generated(text: str, *, details: Mapping[str, Any] | None = None) -> ScriptedAnswer:
    """Return a generation as TGI answers it where no stream was requested.

    Args:
        text: The generated text.
        details: Its details; None to leave them out, as TGI does unless they are requested.
    """
    payload = {"generated_text": text}
    return as_json(payload if details is None else {**payload, "details": dict(details)})


def as_json(value: Any, *, status: int = 200, headers: _Headers = None) -> ScriptedAnswer:
    """Return an answer in JSON.

    Args:
        value: What `json.dumps` takes.
        status: The HTTP status.
        headers: Headers beside `Content-Type`, or one in its place.
    """
    headers = {"content-type": "application/json"} | _lower_names(headers)
    return answer(json.dumps(value).encode(), status=status, headers=headers, framing="length")


def status(code: int, body: str | bytes = b"", *, headers: _Headers = None) -> ScriptedAnswer:
    """Return an answer with a status and, if you like, a body.

    Args:
        code: The HTTP status.
        body: A text is sent as `text/plain`; bytes are sent with no type but what `headers` has.
        headers: The headers.
    """
    if isinstance(body, str):
        headers = {"content-type": "text/plain; charset=utf-8"} | _lower_names(headers)
        body = body.encode()
    steps = (body,) if body else ()
    return answer(*steps, status=code, headers=headers, framing="length")


def loading(estimated_time: float = 20.0, *, headers: _Headers = None) -> ScriptedAnswer:
    """Return the 503 by which the hosted Inference API says that it is loading the model.

    Args:
        estimated_time: Seconds that loading will take, as the server says.
        headers: More headers, such as `Retry-After`.
    """
    error = f"Model {_MODEL} is currently loading"
    payload = {"error": error, "estimated_time": estimated_time}
    return as_json(payload, status=503, headers=headers)


def overloaded(
    *, retry_after: float | str | None = None, in_band: bool = False, server: ServerKind = "tgi"
) -> ScriptedAnswer:
    """Return the answer of a server that has too much to do.

    Args:
        retry_after: The header `Retry-After`, in seconds or as any text; None to leave it out.
        in_band: Whether to say so in a stream with status 200, as servers do when a stream was
            requested; otherwise the status is 429.
        server: Whose wording to use, as for `fault`. In a stream, all but "tgi" and "hosted" send
            `done()` after the error.
    """
    payload = overload_fault(server)
    headers = {} if retry_after is None else {"retry-after": f"{retry_after}"}
    if not in_band:
        return as_json(payload, status=429, headers=headers)
    return events(payload, *([] if server in {"hosted", "tgi"} else [done()]), headers=headers)


def _lower_names(headers: _Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in (headers or {}).items()}
