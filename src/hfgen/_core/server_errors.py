"""From an error as a server words it to one of hfgen's classes. No I/O.

`parse_json_error` and `parse_body_error` read a `ReportedError` out of an answer or an event;
`make_status_error` chooses the class, and returns the error to raise.

The shapes: TGI's `{error, error_type}`; the hosted API's `{error: [..]}` and `estimated_time`;
OpenAI's and vLLM's `{error: {message, type, code}}`, Anthropic's `{error: {message, type}}`, older
vLLM's `{object: "error", message}`;
FastAPI's `{detail}`; `{message}`; problem+json (RFC 9457); and the pages of proxies.
"""

from __future__ import annotations

import re
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from hfgen._core import errors
from hfgen._core.server_json import DECODE_ERRORS, decode_json
from hfgen._core.statuses import find_meaning

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_MESSAGE = 300
# How many bytes of a page are searched: a hostile page can make the patterns slow.
_MAX_SEARCHED = 8 * 1024

# The type that a server names says more than the status. The status here is the one that TGI uses
# when it does not stream (its router/src/server.rs), for events that have none.
_BY_TYPE: dict[str, tuple[int, type[errors.StatusError]]] = {
    "generation": (424, errors.GenerationError),
    "incomplete_generation": (500, errors.ServerError),
    "incomplete_generation_stream": (500, errors.ServerError),
    "stream_serialization_error": (500, errors.ServerError),
    "overloaded": (429, errors.OverloadedError),
    # Anthropic's, with a status of their own.
    "overloaded_error": (529, errors.OverloadedError),
    "service_unavailable": (503, errors.OverloadedError),
    "template_error": (422, errors.ValidationError),
    "missing_template_variable": (422, errors.ValidationError),
    "tool_error": (422, errors.ValidationError),
    "validation": (422, errors.ValidationError),
}

# The statuses of other types, for events that have none. Under a status they say no more than it
# does. Sources: the errors in the documentation of Anthropic's API and of OpenAI's.
_STATUS_BY_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "server_error": 500,
    "timeout_error": 504,
}

# Patterns in messages, for what neither status nor type tells apart, with the statuses that such a
# message comes under. The first of these is for events that have no status.
_BY_MESSAGE: tuple[tuple[re.Pattern[str], tuple[int, ...], type[errors.StatusError]], ...] = (
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
    """An error as a server reports it, whatever its shape.

    Attributes:
        message: The message, at most 300 characters of it.
        error_type: The server's word for the kind of error, None if it names none.
        status: The HTTP status that the body names, None if it names none.
        estimated_time: Seconds until the model is loaded, None if the server does not estimate it.
    """

    message: str
    error_type: str | None = None
    status: int | None = None
    estimated_time: float | None = None


def parse_json_error(body: Any) -> ReportedError | None:
    """Return the error that a decoded JSON body or event reports, None if it reports none."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, dict):
        return None
    error = body.get("error")
    if isinstance(error, dict):
        return _read_error_object(error)
    if error:
        return ReportedError(
            message=_to_message(error),
            error_type=_read_string(body.get("error_type")),
            status=_read_status(body.get("code") or body.get("status")),
            estimated_time=_read_seconds(body.get("estimated_time")),
        )
    if body.get("object") == "error" or body.keys() & {"message", "detail", "title"}:
        return _read_error_object(body)
    return None


def parse_body_error(body: bytes) -> ReportedError:
    """Return the error that the body of a failed answer reports, whatever its format."""
    try:
        report = parse_json_error(decode_json(body))
    except DECODE_ERRORS:
        report = None
    return report or ReportedError(_extract_text(body))


def make_status_error(
    report: ReportedError,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    text: str = "",
    received: float | None = None,
) -> errors.StatusError:
    """Return the error to raise.

    Args:
        report: The error as the server reports it.
        status: The HTTP status; None for an error inside a 200.
        headers: The headers of the answer.
        body: The body, or the event.
        text: What had been generated before.
        received: When the answer came, in seconds since 1970.
    """
    status, kind = _classify(report, status)
    fields: dict[str, Any] = {
        "status": status,
        "headers": headers,
        "body": body,
        "error_type": report.error_type,
        "text": text,
        "received": received,
    }
    if kind is errors.ModelLoadingError:
        fields["estimated_time"] = report.estimated_time
    name = _name_status(status)
    # Many proxies begin their pages with the status.
    message = report.message.removeprefix(name).lstrip(" :-")
    text = f"{name}: {message}" if message else name
    if kind is errors.ModelLoadingError:
        text += " (wait_for_model= waits until it is loaded)"
    return kind(text, **fields)


def is_tgi_error(error: errors.StatusError) -> bool:
    """Tell whether an error is of a type that TGI names."""
    return (error.error_type or "").lower() in _BY_TYPE


def _classify(report: ReportedError, status: int | None) -> tuple[int, type[errors.StatusError]]:
    status = status or report.status
    if report.estimated_time is not None:
        return status or 503, errors.ModelLoadingError
    error_type = (report.error_type or "").lower()
    if by_type := _BY_TYPE.get(error_type):
        return status or by_type[0], by_type[1]
    for pattern, statuses, kind in _BY_MESSAGE:
        if pattern.search(report.message) and (status is None or status in statuses):
            return status or statuses[0], kind
    status = status or _STATUS_BY_TYPE.get(error_type, 500)
    return status, find_meaning(status).error


def _read_error_object(error: dict[str, Any]) -> ReportedError:
    keys = ("message", "detail", "title", "error")
    content = next((error[key] for key in keys if error.get(key)), error)
    numbers = (error.get(key) for key in ("http_status_code", "code", "status"))
    return ReportedError(
        message=_to_message(content),
        error_type=_read_string(error.get("type")) or _read_string(error.get("error_type")),
        status=next((n for value in numbers if (n := _read_status(value))), None),
        estimated_time=_read_seconds(error.get("estimated_time")),
    )


def _to_message(content: Any) -> str:
    if isinstance(content, list):
        content = "; ".join(_to_message(item) for item in content)
    if not isinstance(content, str):
        content = msgspec.json.encode(content).decode()
    return _shorten(content)


def _read_string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _read_status(value: Any) -> int | None:
    """Return the value if it is the HTTP status of an error: some servers' codes are not."""
    is_status = isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600  # noqa: PLR2004
    return value if is_status else None


def _read_seconds(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        return float(value) if is_number else None
    except OverflowError:
        return None


def _extract_text(body: bytes) -> str:
    """Return what a person can read of a body that is no JSON: plain text, or the text of HTML."""
    text = body[:_MAX_SEARCHED].decode("utf-8-sig", "replace")
    if re.search(r"<(!doctype|html|head|body)\b", text[:1000], re.IGNORECASE):
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        text = (
            title[1]
            if title
            else re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL)
        )
        import html  # noqa: PLC0415 - slow to import, rarely needed

        # `unescape` raises it for the number of a character with more digits than `int` reads.
        with suppress(ValueError):
            text = html.unescape(text)
    return _shorten(" ".join(text.split()))


def _shorten(text: str) -> str:
    text = errors.replace_control_characters(text)
    return text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]}…"


def _name_status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
