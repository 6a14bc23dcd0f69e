"""An error, as servers word it, to one of hfgen's classes. No I/O.

The shapes: TGI's `{error, error_type}`; the hosted API's `{error: [..]}` and `estimated_time`;
OpenAI's and vLLM's `{error: {message, type, code}}`, older vLLM's `{object: "error", message}`;
FastAPI's `{detail}`; `{message}`; problem+json (RFC 9457); and whatever a proxy writes.
"""

from __future__ import annotations

import re
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from hfgen._core import errors
from hfgen._core.statuses import meaning_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN = 300
# Of a page so much is looked through: patterns take their time on what was made to slow them.
_READ = 8 * 1024

# The server's own type says more than the status. The status is the one that TGI answers with
# when it does not stream (its router/src/server.rs); it counts where the event has none.
_BY_TYPE: dict[str, tuple[int, type[errors.StatusError]]] = {
    "generation": (424, errors.GenerationError),
    "incomplete_generation": (500, errors.ServerError),
    "incomplete_generation_stream": (500, errors.ServerError),
    "stream_serialization_error": (500, errors.ServerError),
    "overloaded": (429, errors.OverloadedError),
    "service_unavailable": (503, errors.OverloadedError),
    "template_error": (422, errors.ValidationError),
    "missing_template_variable": (422, errors.ValidationError),
    "tool_error": (422, errors.ValidationError),
    "validation": (422, errors.ValidationError),
}

# Words for what neither status nor type tells apart, with the statuses that they come under; the
# first of these counts where the event has none.
_BY_WORDS: tuple[tuple[re.Pattern[str], tuple[int, ...], type[errors.StatusError]], ...] = (
    (
        re.compile(r"`?stream`? is not supported", re.IGNORECASE),
        (400, 422),
        errors.StreamingNotSupportedError,
    ),
    (
        re.compile(r"is currently loading|^loading model", re.IGNORECASE),
        (503,),
        errors.ModelLoadingError,
    ),
    (
        re.compile(r"queue is full|too busy|is overloaded", re.IGNORECASE),
        (503, 500, 429),
        errors.OverloadedError,
    ),
)


class ReportedError(msgspec.Struct, frozen=True):
    """What a server said of an error, in whatever shape."""

    message: str
    error_type: str | None = None
    status: int | None = None
    estimated_time: float | None = None


def error_in_json(body: Any) -> ReportedError | None:
    """Return the error that a decoded JSON body or event is, None if it is none."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, dict):
        return None
    error = body.get("error")
    if isinstance(error, dict):
        return _from_object(error)
    if error:
        return ReportedError(
            message=_words(error),
            error_type=_text(body.get("error_type")),
            status=_number(body.get("code") or body.get("status")),
            estimated_time=_seconds(body.get("estimated_time")),
        )
    if body.get("object") == "error" or body.keys() & {"message", "detail", "title"}:
        return _from_object(body)
    return None


def error_in_body(body: bytes) -> ReportedError:
    """Return the error that the body of a failed answer tells of, as well as it does."""
    try:
        fault = error_in_json(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fault = None
    return fault or ReportedError(_readable(body))


def error_from(
    fault: ReportedError,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    text: str = "",
    received: float | None = None,
) -> errors.StatusError:
    """Return the error to raise.

    Args:
        fault: What the server said.
        status: The HTTP status; None for an error inside a 200, which stands for another.
        headers: The headers of the answer.
        body: The body, or the event.
        text: What had been generated before.
        received: When the answer came, in seconds since 1970.
    """
    status, kind = _classify(fault, status)
    facts: dict[str, Any] = {
        "status": status,
        "headers": headers,
        "body": body,
        "error_type": fault.error_type,
        "text": text,
        "received": received,
    }
    if kind is errors.ModelLoadingError:
        facts["estimated_time"] = fault.estimated_time
    name = _name(status)
    # Proxies write the status into their pages.
    message = fault.message.removeprefix(name).lstrip(" :-")
    return kind(f"{name}: {message}" if message else name, **facts)


def is_tgi_error(error: errors.StatusError) -> bool:
    """Tell whether an error is of a type that TGI names."""
    return (error.error_type or "").lower() in _BY_TYPE


def _classify(fault: ReportedError, status: int | None) -> tuple[int, type[errors.StatusError]]:
    status = status or fault.status
    if fault.estimated_time is not None:
        return status or 503, errors.ModelLoadingError
    # A type is the server's own word; only without one do we look at its sentences.
    if known := _BY_TYPE.get((fault.error_type or "").lower()):
        return status or known[0], known[1]
    for pattern, statuses, kind in _BY_WORDS:
        if pattern.search(fault.message) and (status is None or status in statuses):
            return status or statuses[0], kind
    status = status or 500
    return status, meaning_of(status).error


def _from_object(error: dict[str, Any]) -> ReportedError:
    said = next((error[k] for k in ("message", "detail", "title", "error") if error.get(k)), error)
    numbers = (error.get(key) for key in ("http_status_code", "code", "status"))
    return ReportedError(
        message=_words(said),
        error_type=_text(error.get("type")) or _text(error.get("error_type")),
        status=next((n for value in numbers if (n := _number(value))), None),
        estimated_time=_seconds(error.get("estimated_time")),
    )


def _words(said: Any) -> str:
    if isinstance(said, list):
        said = "; ".join(_words(item) for item in said)
    if not isinstance(said, str):
        said = msgspec.json.encode(said).decode()
    return _cut(said)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> int | None:
    """Return an HTTP status of an error; `code` holds words or other numbers elsewhere."""
    is_status = isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600  # noqa: PLR2004
    return value if is_status else None


def _seconds(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        return float(value) if is_number else None
    except OverflowError:
        return None


def _readable(body: bytes) -> str:
    """Return what a person can read of a body that is no JSON: plain text, or the text of HTML."""
    text = body[:_READ].decode("utf-8", "replace")
    if re.search(r"<(!doctype|html|head|body)\b", text[:1000], re.IGNORECASE):
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        text = (
            title[1]
            if title
            else re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL)
        )
        import html  # noqa: PLC0415 - slow to import, rarely needed

        # A number has more digits than Python reads.
        with suppress(ValueError):
            text = html.unescape(text)
    return _cut(" ".join(text.split()))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _name(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
