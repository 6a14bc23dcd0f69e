"""`FetchRequest` and `FetchResponse`: what a transport, or the caller's `fetch`, takes and returns.

Also the checks of what a fetch returns, and the translation of what it raises to hfgen's errors.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec.structs import replace

from hfgen._core.errors import ConnectError, HfgenError, TimeoutError  # noqa: A004
from hfgen._core.headers import Headers
from hfgen._core.url import redact_url

if TYPE_CHECKING:
    from hfgen._core.body import Decoder
    from hfgen._io.signal import AbortSignal


class FetchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request to make.

    Attributes:
        method: "POST" or "GET".
        url: An absolute http or https URL, to be sent unchanged.
        headers: All headers to send, but for host and content-length, which the transport adds.
        body: The body, empty for a GET.
        timeout: Seconds that the server may be silent; None for no limit. A transport may ignore
            it, because hfgen aborts the call when its time is up. It is for transports that an
            abort cannot wake.
        connect_timeout: Seconds to wait for the connection; None for no limit.
        signal: Aborted when the caller gives the call up, or its time is up. A transport may watch
            it while it waits for the answer. After it has returned, an abort calls
            `FetchResponse.close`.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    timeout: float | None = None
    connect_timeout: float | None = None
    signal: AbortSignal | None = None

    def __repr__(self) -> str:
        return f"FetchRequest({', '.join(f'{n}={v!r}' for n, v in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # msgspec's own representation would show secrets in the headers.
        return [
            ("method", self.method),
            ("url", redact_url(self.url)),
            ("headers", Headers(self.headers)),
            ("body", f"<{len(self.body)} bytes>"),
            ("timeout", self.timeout),
        ]


def _do_nothing() -> None:
    """Stand in for a `close` that is not given. No lambda, so that responses can be pickled."""


class FetchResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a `FetchRequest`, returned when its headers have arrived.

    Attributes:
        status: The HTTP status.
        headers: The headers; names in any case.
        body: The body in pieces, as they arrive, content-decoded: an iterable of bytes for
            `Client`, an async iterable of bytes for `AsyncClient`. It is iterated once.
        close: Releases the connection. Called when the body is no longer needed, read to its end or
            not, and perhaps more than once. An abort calls it from another thread. For
            `AsyncClient` it is called on the event loop, and may return an awaitable.
    """

    status: int
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    body: Iterable[bytes] | AsyncIterable[bytes] = ()
    close: Callable[[], Any] = _do_nothing


Fetch: TypeAlias = Callable[[FetchRequest], FetchResponse]
"""What `Client` takes as `fetch`: makes the request, returns when the headers have arrived."""

AsyncFetch: TypeAlias = Callable[[FetchRequest], Awaitable[FetchResponse]]
"""What `AsyncClient` takes as `fetch`: the same, awaited."""


def to_hfgen_error(error: Exception, signal: AbortSignal | None) -> HfgenError | None:
    """Return the error to raise in place of one that a transport raised; None to raise that one.

    hfgen's transports raise its own errors. Of those that a caller's `fetch` raises, the builtin
    errors for time-outs and connections are translated; others are for the caller.
    """
    failure: HfgenError
    if signal is not None and signal.aborted:
        # An abort closes the connection, and a transport may raise any error for that.
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


def ending_error(
    decoder: Decoder[Any], error: Exception, signal: AbortSignal | None
) -> HfgenError | None:
    """Return what a stream raises after reading its body failed; None if the body is complete."""
    failure = to_hfgen_error(error, signal)
    if failure is None:
        raise error
    result = decoder.ending_error(failure)
    if result is not None and result is not failure:
        result.__cause__ = failure
    return result


def check_response(response: Any, *, asynchronous: bool) -> FetchResponse:
    """Return the response of a `fetch`, with `Headers` as its headers and an iterator as its body.

    Raises:
        TypeError: It is no `FetchResponse`, or one of its fields has a wrong type.
    """
    if not isinstance(response, FetchResponse):
        if isinstance(response, Coroutine):
            response.close()
        raise TypeError(f"fetch must return a FetchResponse, not {type(response).__name__}")
    try:
        if not isinstance(response.status, int):
            raise TypeError(f"its status must be an int, not {type(response.status).__name__}")
        if not isinstance(response.headers, Mapping):
            raise TypeError(f"its headers must be a mapping, not {type(response.headers).__name__}")
    except TypeError as error:
        response.close()
        raise TypeError(f"fetch returned an invalid FetchResponse: {error}") from None
    try:
        if isinstance(response.body, bytes | str):
            raise TypeError("put the bytes into a list")
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


def check_piece(piece: Any) -> bytes:
    """Return a piece of a body.

    Raises:
        TypeError: The piece is no bytes.
    """
    if not isinstance(piece, bytes):
        raise TypeError(f"the body of a FetchResponse gives bytes, not {type(piece).__name__}")
    return piece
