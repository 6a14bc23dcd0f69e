"""What an error says of the row, and what of the server. Pure."""

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

_ROWS_OWN = frozenset({400, 413, 422})
# That there is no such model, or no leave to use it.
_OF_A_MODEL = frozenset({403, 404})
_PASSING = frozenset({408, 409, 425})
_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})
_UNAVAILABLE = 503
_FAILED = 500


class Verdict(Enum):
    """What becomes of the row, and of the server."""

    ROW = auto()
    """It is the row's: it is not tried again."""
    BROKEN = auto()
    """It may have been either's: the row is tried again."""
    SERVER = auto()
    """It is the server's as far as one can tell: the row is tried again."""
    UNREACHED = auto()
    """It is the server's: the row, which never got there, has lost nothing."""
    REFUSED = auto()
    """The server refuses whatever it is asked."""
    OVERLOAD = auto()
    """The server has too much to do."""
    LOADING = auto()
    """The server is not ready yet."""
    WHOLE = auto()
    """The model cannot stream: the row is asked for as a whole."""
    BUG = auto()
    """It is neither's: it ends the iteration."""


def verdict(  # noqa: PLR0911 - a table
    error: HfgenError, request: Mapping[str, Any], model: str | None = None
) -> Verdict:
    """Return what an error of an attempt says.

    Args:
        error: The error.
        request: What was asked for.
        model: The model of rows that name none.
    """
    match error:
        case StreamingNotSupportedError():
            return Verdict.WHOLE
        case ModelLoadingError():
            return Verdict.LOADING
        case OverloadedError() | RateLimitError():
            return Verdict.OVERLOAD
        case GenerationError() | IncompleteGenerationError() | MalformedAnswerError():
            return Verdict.BROKEN
        case StatusError():
            return _of_status(error.status, names_its_own=request.get("model") not in {None, model})
        case TimeoutError():
            return Verdict.UNREACHED if error.phase == "connect" else Verdict.SERVER
        case ConnectError():
            return Verdict.UNREACHED if _was_unreachable(error) else Verdict.SERVER
        case _ if type(error) is HfgenError:
            # The client is closed.
            return Verdict.BUG
        case _:
            return Verdict.ROW


def _of_status(status: int, *, names_its_own: bool) -> Verdict:
    if status in _ROWS_OWN:
        return Verdict.ROW
    if status in _PASSING:
        return Verdict.BROKEN
    if status == _UNAVAILABLE:
        return Verdict.OVERLOAD
    if status >= _FAILED:
        return Verdict.SERVER
    return Verdict.ROW if status in _OF_A_MODEL and names_its_own else Verdict.REFUSED


def _was_unreachable(error: ConnectError) -> bool:
    cause = root_cause(error)
    if isinstance(cause, ConnectionRefusedError | socket.gaierror):
        return True
    return isinstance(cause, OSError) and cause.errno in _UNREACHABLE
