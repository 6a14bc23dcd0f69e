"""Every error that hfgen raises.

    HfgenError
    ├── InvalidRequestError           what the caller passed cannot be sent (also a ValueError)
    ├── ConnectError                  no connection, or it broke before an answer
    ├── TimeoutError                  the server took too long (also the builtin TimeoutError)
    ├── AbortError                    an AbortSignal was aborted
    ├── StatusError                   the server reports an error: by its status, or inside a 200
    │   ├── AuthenticationError       401
    │   ├── PermissionDeniedError     403
    │   ├── NotFoundError             404
    │   ├── ValidationError           400, 413, 422
    │   ├── StreamingNotSupportedError
    │   ├── RateLimitError            429
    │   ├── OverloadedError           429 `overloaded`, 529, a full queue, a model too busy
    │   ├── GenerationError           424
    │   └── ServerError               5xx
    │       └── ModelLoadingError     503 while the model loads
    ├── IncompleteGenerationError     a generation broke off before its end
    ├── ContentFilterError            the server held back the rest of a text under its policy
    ├── MalformedAnswerError          the body of an answer cannot be read
    │   └── MalformedStreamError      the same in the middle of a stream
    ├── StreamClosedError             reading from a stream that has been closed
    ├── BulkFileError                 a file of a bulk run cannot be read or written
    └── LocalServerError              the local server cannot be started (`hfgen.server`)

An error has in `text` what had been generated before it.
"""

from __future__ import annotations

import builtins
import re
from typing import TYPE_CHECKING, Any, Literal

from hfgen._core.headers import Headers, parse_retry_after

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# The headers in which servers and proxies send the id of a request. The first one present counts.
_REQUEST_ID_HEADERS = ("x-request-id", "x-amzn-requestid", "x-amz-cf-id", "cf-ray")


class HfgenError(Exception):
    """The root of all errors of hfgen.

    Attributes:
        message: What went wrong, and what to do about it if that is known.
        text: What the server had generated before the error, as far as it came; empty if nothing
            came.
    """

    def __init__(self, message: str, *, text: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.text = text

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__.copy())


def _restore(kind: type[HfgenError], args: tuple[Any, ...], state: dict[str, Any]) -> HfgenError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def replace_control_characters(text: str) -> str:
    """Return the text of a server as it can be printed: a terminal acts on control characters."""
    return _CONTROL_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", text)


def hide_secrets(error: HfgenError, secrets: Iterable[str]) -> None:
    """Replace secrets by `***` in the message and the body: servers quote keys in their errors."""
    for secret in secrets:
        error.message = error.message.replace(secret, "***")
        if isinstance(error, StatusError):
            error.body = error.body.replace(secret.encode(), b"***")
    error.args = (error.message, *error.args[1:])


def drop_tracebacks(error: BaseException | None) -> None:
    """Remove the tracebacks of an error, and of all errors that it is chained to.

    The frames of a traceback refer to the call, and the call refers to the error. In such a cycle,
    a stream that the caller drops would not be closed before the garbage collector runs.
    """
    pending, seen = [error], set[int]()
    while pending:
        link = pending.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            link.__traceback__ = None
            pending += link.__cause__, link.__context__


class InvalidRequestError(HfgenError, ValueError):
    """What the caller passed cannot be sent. Nothing has been sent."""


class ConnectError(HfgenError):
    """No connection could be made, or it broke before the answer was complete.

    Attributes:
        was_connected: False if no connection could be made, so that nothing has been sent. True if
            it broke, or if that is not known.
        is_permanent: Whether another attempt would fail in the same way: the server's certificate
            was refused.
    """

    def __init__(
        self,
        message: str,
        *,
        was_connected: bool = True,
        is_permanent: bool = False,
        text: str = "",
    ) -> None:
        super().__init__(message, text=text)
        self.was_connected = was_connected
        self.is_permanent = is_permanent


class TimeoutError(HfgenError, builtins.TimeoutError):  # noqa: A001 - it is one, and its namesake
    """The server took longer than `timeout` allows.

    Attributes:
        phase: The limit of the `Timeout` that was exceeded: "connect", "first_token",
            "between_tokens" or "total"; "read" for a limit that a `fetch` has of its own.
    """

    def __init__(
        self,
        message: str,
        *,
        phase: Literal["connect", "first_token", "between_tokens", "total", "read"] = "read",
        text: str = "",
    ) -> None:
        super().__init__(message, text=text)
        self.phase = phase


class AbortError(HfgenError):
    """The call's `AbortSignal` was aborted.

    Attributes:
        reason: The reason that was passed to `AbortController.abort`, None if there was none.
    """

    def __init__(self, message: str, *, reason: object = None, text: str = "") -> None:
        super().__init__(message, text=text)
        self.reason = reason


class StatusError(HfgenError):
    """The server refused or failed.

    An error that a server reports inside a stream, under a status of 200, is raised as the same
    class as its status would have been.

    Attributes:
        status: The HTTP status; for an error inside a 200, the status that it stands for.
        headers: The headers of the answer.
        body: The body of the answer, or the data of the event, unchanged (at most 1 MiB).
        error_type: The server's own word for the kind of error (TGI's `error_type`, OpenAI's
            `type`), None if it sent none.
        request_id: The server's id of the request, None if it sent none.
        retry_after: Seconds that the server asks to wait before the next attempt, None if it does
            not ask (`retry-after-ms`; `Retry-After` in seconds or as a date; `t=` of `RateLimit`).
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        error_type: str | None = None,
        text: str = "",
        received: float | None = None,
    ) -> None:
        super().__init__(message, text=text)
        self._received = received
        self.status = status
        self.headers = Headers(headers or {})
        self.body = body
        self.error_type = error_type

    @property
    def request_id(self) -> str | None:
        return next((self.headers[n] for n in _REQUEST_ID_HEADERS if n in self.headers), None)

    @property
    def retry_after(self) -> float | None:
        return parse_retry_after(self.headers, self._received)


class AuthenticationError(StatusError):
    """The key is missing or wrong (401)."""


class PermissionDeniedError(StatusError):
    """The key is valid, but does not permit this request (403)."""


class NotFoundError(StatusError):
    """There is no such model or route (404)."""


class ValidationError(StatusError):
    """The server does not accept the request as it is (400, 413, 422)."""


class StreamingNotSupportedError(StatusError):
    """The model cannot stream; use `run`."""


class RateLimitError(StatusError):
    """Too many requests from this caller (429)."""


class OverloadedError(StatusError):
    """The server has too many requests from all callers (TGI's `overloaded`, 529, a full queue)."""


class GenerationError(StatusError):
    """The generation itself failed on the server (424)."""


class ServerError(StatusError):
    """The server failed (5xx)."""


class ModelLoadingError(ServerError):
    """The model is not in memory yet (503).

    Attributes:
        estimated_time: The seconds that loading will take, as the server estimates; None if it does
            not.
    """

    def __init__(self, message: str, *, estimated_time: float | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.estimated_time = estimated_time


class IncompleteGenerationError(HfgenError):
    """A generation broke off: `text` is not the whole answer.

    A stream ended before its last event, cleanly or not; or the server named a finish reason by
    which it broke the generation off ("abort", "cancelled", "error", "timeout" and the like); or
    there are fewer texts than `num_return_sequences` asks for.
    """


class ContentFilterError(HfgenError):
    """The server held back the rest of a text under its content policy.

    `text` is not the whole answer. The finish reason was "content_filter", or another word for it.
    The same request would be filtered again, so it is not tried again.
    """


class MalformedAnswerError(HfgenError):
    """The body of an answer is not the generation that was asked for.

    It cannot be read, and the message shows its start; or it has fewer texts than
    `num_return_sequences` asks for.
    """


class MalformedStreamError(MalformedAnswerError):
    """An event in a stream cannot be read; the message shows the start of its bytes."""


class StreamClosedError(HfgenError):
    """An item was requested from a stream that had been closed before its end."""


class BulkFileError(HfgenError):
    """A file of a bulk run cannot be read or written, or belongs to a different run.

    The message names the file, the reason, and what to do. Committed results are kept.
    """


class LocalServerError(HfgenError):
    """The local server cannot be started; the message gives the reason in one line."""
