"""Answers ready made: what text generation servers say, on good days and on bad ones. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from hfgen.testing._answer import Cut, Framing, Hang, ScriptedAnswer, Step
from hfgen.testing._events import ServerKind, Special, chunk, done, event, fault

if TYPE_CHECKING:
    from collections.abc import Sequence

_MODEL = "scripted/model"
# How each server words that it has too much to do, where it is not its usual error.
_OVERLOADS: dict[ServerKind, tuple[str, str | None, int | None]] = {
    "openai": ("Rate limit reached", "rate_limit_error", 429),
    "sglang": ("The request queue is full.", None, None),
    "tgi": ("Model is overloaded", "overloaded", None),
    "vllm": ("Model is overloaded", "TooManyRequestsError", 429),
    "vllm-old": ("Model is overloaded", "TooManyRequestsError", 429),
}

Headers: TypeAlias = Mapping[str, str] | None


def answer(
    *body: Step, status: int = 200, headers: Headers = None, framing: Framing = "chunked"
) -> ScriptedAnswer:
    """Return an answer of any kind.

    Args:
        body: The steps of its body: bytes, `Pause`, `Hang`, `Cut`.
        status: The HTTP status.
        headers: The headers; None for none but those of the framing.
        framing: How the client learns where the body ends.
    """
    return ScriptedAnswer(body, status, tuple((headers or {}).items()), framing)


def events(
    *steps: Mapping[str, Any] | Step, headers: Headers = None, framing: Framing = "chunked"
) -> ScriptedAnswer:
    """Return a stream of server-sent events.

    Args:
        steps: A mapping is an event with this as its JSON; other steps stand for themselves, such
            as `comment()`, `Pause(1)`, `done()`, or bytes that are no event at all.
        headers: More headers than `Content-Type`, or another one.
        framing: How the client learns where the body ends.
    """
    body = (event(step) if isinstance(step, Mapping) else step for step in steps)
    headers = {"content-type": "text/event-stream"} | _lower(headers)
    return answer(*body, headers=headers, framing=framing)


def tokens(
    *parts: str | Special | Mapping[str, Any] | Step,
    finish_reason: str | None = None,
    details: Mapping[str, Any] | bool = False,
    ends: bool | None = None,
    headers: Headers = None,
    framing: Framing = "chunked",
) -> ScriptedAnswer:
    """Return a stream of tokens as TGI sends it: each with its index, the last with the whole text.

    `tokens("Once", Pause(2), " upon", Special("</s>"))` is a whole stream. One that a `Cut`, a
    `Hang` or an error event follows has no last event: `tokens("Once", " upon", Cut())` breaks
    off after two tokens.

    Args:
        parts: A text is a token, as is a `Special`, which is no part of the whole text; a mapping
            is an event with this as its JSON, such as `fault("...")`; other steps stand for
            themselves.
        finish_reason: Why the generation ended; if given, the last event has details. In details
            it is "eos_token" after a special token and "length" otherwise.
        details: Whether the last event has details, or what they have beyond the usual ones.
        ends: Whether the last token's event is the last one, with the whole text; None for yes,
            unless a `Cut`, a `Hang` or a mapping comes after it.
        headers: More headers than `Content-Type`, or another one.
        framing: How the client learns where the body ends.
    """
    places = [place for place, part in enumerate(parts) if isinstance(part, str | Special)]
    last = places[-1] if places else -1
    if ends is None:
        ends = not any(isinstance(part, Cut | Hang | Mapping) for part in parts[last + 1 :])
    text = "".join(part for part in parts if isinstance(part, str))
    steps: list[Mapping[str, Any] | Step] = []
    for place, part in enumerate(parts):
        if not isinstance(part, str | Special):
            steps.append(part)
            continue
        is_last = ends and place == last
        steps.append(
            chunk(
                part if isinstance(part, str) else part.text,
                index=places.index(place) + 1,
                special=isinstance(part, Special),
                generated_text=text if is_last else None,
                details=_details(parts, finish_reason, details) if is_last else None,
            )
        )
    return events(*steps, headers=headers, framing=framing)


def generated(text: str, *, details: Mapping[str, Any] | None = None) -> ScriptedAnswer:
    """Return a whole generation as TGI answers it where no stream was asked for.

    Args:
        text: The text that was generated.
        details: Its details; None to leave them out, as TGI does where they were not asked for.
    """
    whole = {"generated_text": text} | ({} if details is None else {"details": dict(details)})
    return as_json(whole)


def as_json(value: Any, *, status: int = 200, headers: Headers = None) -> ScriptedAnswer:
    """Return an answer in JSON.

    Args:
        value: What JSON can say.
        status: The HTTP status.
        headers: More headers than `Content-Type`, or another one.
    """
    headers = {"content-type": "application/json"} | _lower(headers)
    return answer(json.dumps(value).encode(), status=status, headers=headers, framing="length")


def status(code: int, body: str | bytes = b"", *, headers: Headers = None) -> ScriptedAnswer:
    """Return an answer that is a status above all.

    Args:
        code: The HTTP status.
        body: A text is sent as `text/plain`; bytes have no type but what the headers say.
        headers: The headers.
    """
    if isinstance(body, str):
        headers = {"content-type": "text/plain; charset=utf-8"} | _lower(headers)
        body = body.encode()
    steps = (body,) if body else ()
    return answer(*steps, status=code, headers=headers, framing="length")


def loading(estimated_time: float = 20.0, *, headers: Headers = None) -> ScriptedAnswer:
    """Return a 503 by which the hosted API says that the model is being loaded.

    Args:
        estimated_time: Seconds that the server says it will take.
        headers: More headers, such as `Retry-After`.
    """
    said = {"error": f"Model {_MODEL} is currently loading", "estimated_time": estimated_time}
    return as_json(said, status=503, headers=headers)


def overloaded(
    *, retry_after: float | str | None = None, in_band: bool = False, server: ServerKind = "tgi"
) -> ScriptedAnswer:
    """Return a server's word that it has too much to do.

    Args:
        retry_after: The header `Retry-After`, in seconds or as any text; None to leave it out.
        in_band: Whether to say it in a stream with status 200, as servers do to who asks for one;
            otherwise it is a 429.
        server: Whose words they are, as for `fault`. Only TGI's own routes do without `done()`.
    """
    message, kind, code = _OVERLOADS.get(server, ("Model is overloaded", None, None))
    said = fault(message, server=server, kind=kind, code=code)
    headers = {} if retry_after is None else {"retry-after": f"{retry_after}"}
    if not in_band:
        return as_json(said, status=429, headers=headers)
    return events(said, *([] if server in {"hosted", "tgi"} else [done()]), headers=headers)


def _details(
    parts: Sequence[object],
    finish_reason: str | None,
    details: Mapping[str, Any] | bool,  # noqa: FBT001 - it is one of the caller's options
) -> dict[str, Any] | None:
    if details is False and finish_reason is None:
        return None
    said = [part for part in parts if isinstance(part, str | Special)]
    usual = "eos_token" if isinstance(said[-1], Special) else "length"
    return {
        "finish_reason": usual if finish_reason is None else finish_reason,
        "generated_tokens": len(said),
        "seed": None,
        "input_length": 1,
        **(details if isinstance(details, Mapping) else {}),
    }


def _lower(headers: Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in (headers or {}).items()}
