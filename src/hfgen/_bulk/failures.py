"""What the error of an attempt means for its row, and for the server: see `Failure`. Pure."""

from __future__ import annotations

import errno
import socket
from enum import Enum, auto
from typing import TYPE_CHECKING

from hfgen._core.errors import (
    ConnectError,
    GenerationError,
    HfgenError,
    IncompleteGenerationError,
    MalformedAnswerError,
    ModelLoadingError,
    OverloadedError,
    RateLimitError,
    StatusError,
    StreamingNotSupportedError,
    TimeoutError,  # noqa: A004
)
from hfgen._io.library_errors import root_cause

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class Failure(Enum):
    """Who is to blame for a failed attempt, and what follows from it.

    A "free" retry does not count against `max_retries`. A server that is "blamed" several times in
    a row is paused; see `Server.note_failure`.
    """

    ROW = auto()
    """The row is to blame: it fails at once."""
    UNCLEAR = auto()
    """The row or the server is to blame: the row is tried again, the server is not blamed."""
    SERVER = auto()
    """The server seems to be to blame: the row is tried again, the server is blamed."""
    UNREACHED = auto()
    """The request did not arrive: the row is tried again for free, the server is blamed."""
    REFUSED = auto()
    """The server refuses all requests: as `SERVER`, and the run ends if no server has answered."""
    OVERLOAD = auto()
    """The server has too much to do: the row is tried again for free, and the window shrinks."""
    LOADING = auto()
    """The model is loading: free retries and pauses up to `wait_for_model`, then as `SERVER`."""
    NOT_STREAMABLE = auto()
    """The model cannot stream: the row is tried again for free, without a stream."""
    FATAL = auto()
    """Neither is to blame: the iteration ends with this error."""


# Statuses whose errors have no class of their own in `classify_error`. Others: 5xx is SERVER, the
# rest is REFUSED.
_BY_STATUS = {
    # The server has read the request, and does not accept what is in it.
    400: Failure.ROW,
    413: Failure.ROW,
    422: Failure.ROW,
    # A wrong key, no credit, no access to the model, no such model.
    401: Failure.REFUSED,
    402: Failure.REFUSED,
    403: Failure.REFUSED,
    404: Failure.REFUSED,
    # Timeouts and conflicts, which may pass.
    408: Failure.UNCLEAR,
    409: Failure.UNCLEAR,
    425: Failure.UNCLEAR,
    # Servers and proxies that have no free worker.
    503: Failure.OVERLOAD,
}
_FIRST_SERVER_ERROR = 500
# These may be about the model. If the row names a model of its own, the row is to blame.
_ABOUT_MODEL = frozenset({403, 404})
# Besides `ConnectionRefusedError` and a name that cannot be resolved.
_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})


def classify_error(  # noqa: PLR0911 - a table
    error: HfgenError, request: Mapping[str, Any], model: str | None = None
) -> Failure:
    """Return what the error of an attempt means.

    Args:
        error: The error.
        request: The request of the row.
        model: The model of rows that name none.
    """
    match error:
        case StreamingNotSupportedError():
            return Failure.NOT_STREAMABLE
        case ModelLoadingError():
            return Failure.LOADING
        case OverloadedError() | RateLimitError():
            return Failure.OVERLOAD
        case GenerationError() | IncompleteGenerationError() | MalformedAnswerError():
            return Failure.UNCLEAR
        case StatusError():
            names_own_model = request.get("model") not in {None, model}
            if error.status in _ABOUT_MODEL and names_own_model:
                return Failure.ROW
            is_server_error = error.status >= _FIRST_SERVER_ERROR
            fallback = Failure.SERVER if is_server_error else Failure.REFUSED
            return _BY_STATUS.get(error.status, fallback)
        case TimeoutError():
            return Failure.UNREACHED if error.phase == "connect" else Failure.SERVER
        case ConnectError():
            return Failure.UNREACHED if _is_unreachable(error) else Failure.SERVER
        case _ if type(error) is HfgenError:
            # The client is closed.
            return Failure.FATAL
        case _:
            return Failure.ROW


def _is_unreachable(error: ConnectError) -> bool:
    cause = root_cause(error)
    if isinstance(cause, ConnectionRefusedError | socket.gaierror):
        return True
    return isinstance(cause, OSError) and cause.errno in _UNREACHABLE
