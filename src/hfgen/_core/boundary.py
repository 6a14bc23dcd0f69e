"""Errors of others, at the boundary, to hfgen's."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from hfgen._core.errors import ConnectError, HfgenError, TimeoutError  # noqa: A004
from hfgen._core.fetch import FetchResponse
from hfgen._core.headers import Headers

if TYPE_CHECKING:
    from hfgen._core.body import Decoder
    from hfgen._io.signal import AbortSignal


def translated(error: Exception, signal: AbortSignal | None) -> HfgenError | None:
    """Return what to raise in place of what a transport raised; None to let it through.

    The transports of hfgen speak its own errors. A caller's `fetch` raises what it likes: the
    builtins for time-outs and broken connections are understood, the rest is the caller's.
    """
    failure: HfgenError
    if signal is not None and signal.aborted:
        # Whatever it is: it came of the connection being closed.
        failure = signal.error()
    elif isinstance(error, HfgenError):
        if isinstance(error, TimeoutError) and error.phase == "read":
            # A transport's own limit, which is a backstop for the call's.
            error.phase = getattr(signal, "phase", error.phase)
        return error
    elif isinstance(error, builtins.TimeoutError):
        failure = TimeoutError(f"no answer in time: {str(error) or type(error).__name__}")
    elif isinstance(error, OSError):
        failure = ConnectError(f"no connection: {str(error) or type(error).__name__}")
    else:
        return None
    failure.__cause__ = error
    return failure


def broken_off(
    decoder: Decoder[Any], error: Exception, signal: AbortSignal | None
) -> HfgenError | None:
    """Return what a stream raises when reading its body failed; None if it had all it needed."""
    failure = translated(error, signal)
    if failure is None:
        raise error
    ending = decoder.interrupted(failure)
    if ending is not None and ending is not failure:
        ending.__cause__ = failure
    return ending


def checked(response: Any, *, asynchronous: bool) -> FetchResponse:
    """Return what a `fetch` returned, if it is a response that can be read.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(response, FetchResponse):
        if inspect.iscoroutine(response):
            response.close()
        raise TypeError(f"fetch must return a FetchResponse, not {type(response).__name__}")
    try:
        if not isinstance(response.status, int):
            raise TypeError(f"its status must be an int, not {type(response.status).__name__}")
        if not isinstance(response.headers, Mapping):
            raise TypeError(f"its headers must be a mapping, not {type(response.headers).__name__}")
    except TypeError as error:
        response.close()
        raise TypeError(f"fetch returned a FetchResponse that is none: {error}") from None
    try:
        if isinstance(response.body, bytes | str):
            raise TypeError("text and bytes are to be put into a list")
        body = aiter(response.body) if asynchronous else iter(response.body)  # type: ignore[arg-type]
    except TypeError as error:
        response.close()
        kind = "an async iterable" if asynchronous else "an iterable"
        raise TypeError(
            f"the body of a FetchResponse must be {kind} of bytes here, "
            f"not {type(response.body).__name__} ({error})"
        ) from None
    if body is response.body and isinstance(response.headers, Headers):
        return response
    return replace(response, headers=Headers(response.headers), body=body)


def checked_piece(piece: Any) -> bytes:
    """Return a piece of a body, if it is one.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(piece, bytes):
        raise TypeError(f"the body of a FetchResponse gives bytes, not {type(piece).__name__}")
    return piece
