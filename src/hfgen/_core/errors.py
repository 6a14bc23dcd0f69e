"""Every error that hfgen raises.

    HfgenError
    ├── InvalidRequestError           what the caller passed cannot be sent (also a ValueError)
    ├── ConnectError                  no connection, or it broke before an answer
    ├── TimeoutError                  the server took too long (also the builtin TimeoutError)
    ├── AbortError                    an AbortSignal was aborted
    ├── StatusError                   the server said no: by its status, or inside a 200
    │   ├── AuthenticationError       401
    │   ├── PermissionDeniedError     403
    │   ├── NotFoundError             404
    │   ├── ValidationError           400, 413, 422
    │   ├── StreamingNotSupportedError
    │   ├── RateLimitError            429
    │   ├── OverloadedError           429 `overloaded`, a full queue, a model too busy
    │   ├── GenerationError           424
    │   └── ServerError               5xx
    │       └── ModelLoadingError     503 while the model loads
    ├── IncompleteGenerationError     a stream ended before its last event
    ├── MalformedAnswerError          a body that is no answer
    │   └── MalformedStreamError      the same in the middle of a stream
    ├── StreamClosedError             an item was asked of a stream that had been left
    ├── BulkFileError                 a file of a bulk run cannot be read, or written
    └── LocalServerError              the local server cannot be started (`hfgen.server`)

Whatever a stream raises carries in `text` what had been generated until then.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any, Literal

from hfgen._core.headers import Headers, parse_retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping

# In this order the servers and proxies in front of them name the request in a header.
_REQUEST_ID_HEADERS = ("x-request-id", "x-amzn-requestid", "x-amz-cf-id", "cf-ray")


class HfgenError(Exception):
    """The root of all errors of hfgen.

    Attributes:
        message: What went wrong, and what to do about it where that is known.
        text: In a stream, the text generated before the error; elsewhere empty.
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


def drop_tracebacks(error: BaseException | None) -> None:
    """Take the tracebacks off an error and all that it is chained to, because the call goes on.

    Their frames hold the call, and other frames the error. With them, a dropped stream would be
    closed by the garbage collector only.
    """
    pending, seen = [error], set[int]()
    while pending:
        link = pending.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            link.__traceback__ = None
            pending += link.__cause__, link.__context__


class InvalidRequestError(HfgenError, ValueError):
    """What the caller passed cannot be sent; nothing has gone over the network."""


class ConnectError(HfgenError):
    """No connection could be made, or it broke before the answer was whole."""


class TimeoutError(HfgenError, builtins.TimeoutError):  # noqa: A001 - it is one, and its namesake
    """The server took longer than `timeout` allows.

    Attributes:
        phase: Which of the limits of a `Timeout` it was: "connect", "first_token",
            "between_tokens" or "total"; "read" for one that a `fetch` has of its own.
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
        reason: What was passed to `AbortController.abort`, None if nothing.
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
        body: The body of the answer, or of the event, as it came (at most 1 MiB of it).
        error_type: The server's own word for the kind of error (TGI's `error_type`, OpenAI's
            `type`), None if it gave none.
        request_id: The id under which the server knows the request, None if it gave none.
        retry_after: Seconds after which the server asks to be tried again, None if it does not
            (`retry-after-ms`; `Retry-After` in seconds or as a date; `t=` of `RateLimit`).
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
    """The key is good, but not for this (403)."""


class NotFoundError(StatusError):
    """There is no such model or route (404)."""


class ValidationError(StatusError):
    """The server does not accept the request as it is (400, 413, 422)."""


class StreamingNotSupportedError(StatusError):
    """The model cannot stream; use `run`."""


class RateLimitError(StatusError):
    """Too many requests from this caller (429)."""


class OverloadedError(StatusError):
    """The server has too much to do, whoever asks (TGI's `overloaded`, a full queue)."""


class GenerationError(StatusError):
    """The generation itself failed on the server (424)."""


class ServerError(StatusError):
    """The server failed (5xx)."""


class ModelLoadingError(ServerError):
    """The model is not in memory yet (503).

    Attributes:
        estimated_time: The server's guess of the seconds until it is, None if it gave none.
    """

    def __init__(self, message: str, *, estimated_time: float | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.estimated_time = estimated_time


class IncompleteGenerationError(HfgenError):
    """A stream ended, cleanly or not, before its last event: `text` is not the whole answer."""


class MalformedAnswerError(HfgenError):
    """The server answered with something that is no generation; the message shows its start."""


class MalformedStreamError(MalformedAnswerError):
    """An event in a stream could not be read; the message shows its bytes, cut to a length."""


class StreamClosedError(HfgenError):
    """An item was asked of a stream that had been closed or left before its end."""


class BulkFileError(HfgenError):
    """A file of a bulk run cannot be read, written, or gone on with.

    The message says which, why, and what to do. What had been committed is kept.
    """


class LocalServerError(HfgenError):
    """The local server cannot be started; the message says why in one line."""
