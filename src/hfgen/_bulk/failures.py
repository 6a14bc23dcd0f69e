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
from hfgen._core.statuses import find_meaning
from hfgen._io.library_errors import root_cause

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hfgen._core.statuses import Blame


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
    """The server has too much to do, or this process may open no more files: free retries up to
    `patience`, and the window shrinks."""
    LOADING = auto()
    """The model is loading: free retries and pauses up to `wait_for_model`, then as `SERVER`."""
    NOT_STREAMABLE = auto()
    """The model cannot stream: the row is tried again for free, without a stream."""
    FATAL = auto()
    """Neither is to blame: the iteration ends with this error."""


# After these, the request has used no tokens.
GENERATED_NOTHING = frozenset(
    {
        Failure.ROW,
        Failure.UNREACHED,
        Failure.REFUSED,
        Failure.OVERLOAD,
        Failure.LOADING,
        Failure.NOT_STREAMABLE,
    }
)
# The failure for each `Blame` in the table of statuses.
_BY_BLAME: dict[Blame, Failure] = {
    "request": Failure.ROW,
    "caller": Failure.REFUSED,
    "model": Failure.REFUSED,
    "server": Failure.SERVER,
    "load": Failure.OVERLOAD,
    "chance": Failure.UNCLEAR,
}
# What the system reports only when it makes a connection, besides `ConnectionRefusedError` and a
# name that cannot be resolved. A caller's `fetch` may raise it.
_UNREACHABLE = frozenset(
    {
        errno.EADDRNOTAVAIL,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
    }
)
_TOO_MANY_FILES = frozenset({errno.EMFILE, errno.ENFILE})


def classify_error(  # noqa: C901, PLR0911 - a table
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
            blame = find_meaning(error.status).blame
            if blame == "model" and request.get("model") not in {None, model}:
                return Failure.ROW
            return _BY_BLAME[blame]
        case TimeoutError():
            return Failure.UNREACHED if error.phase == "connect" else Failure.SERVER
        case ConnectError() if error.is_permanent:
            return Failure.REFUSED
        case ConnectError():
            return _classify_connect_error(error)
        case _ if type(error) is HfgenError:
            # The client was closed.
            return Failure.FATAL
        case _:
            return Failure.ROW


def _classify_connect_error(error: ConnectError) -> Failure:
    cause = root_cause(error)
    code = cause.errno if isinstance(cause, OSError) else None
    if code in _TOO_MANY_FILES:
        return Failure.OVERLOAD
    is_unreached = isinstance(cause, ConnectionRefusedError | socket.gaierror)
    if is_unreached or code in _UNREACHABLE or not error.was_connected:
        return Failure.UNREACHED
    return Failure.SERVER
