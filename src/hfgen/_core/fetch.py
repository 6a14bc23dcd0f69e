"""`FetchRequest` and `FetchResponse`: what a transport, or the caller's `fetch`, takes and returns.

Below them: the checks of what a fetch returns, and hfgen's errors for what it raises.
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
        url: Absolute, http or https, ready to be sent as it stands.
        headers: All headers to send (host and content-length are the transport's business).
        body: The body, empty for a GET.
        timeout: Seconds that the server may be silent at most; None for no limit. A transport
            need not see to it: the call is aborted when its time is up. It is a backstop for one
            that cannot be woken.
        connect_timeout: Seconds to wait for the connection; None for no limit.
        signal: Aborted when the call is no longer wanted, or its time is up. A transport may watch
            it to wake from a wait for the answer; once it has returned, `FetchResponse.close` is
            called.
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
        # msgspec's own shows the secrets among the headers.
        return [
            ("method", self.method),
            ("url", redact_url(self.url)),
            ("headers", Headers(self.headers)),
            ("body", f"<{len(self.body)} bytes>"),
            ("timeout", self.timeout),
        ]


def _nothing() -> None:
    return None


class FetchResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a `FetchRequest`, as soon as its headers are here.

    Attributes:
        status: The HTTP status.
        headers: The headers; names in any case.
        body: Iterated once: the body in pieces as they arrive, content-decoded. An iterable of
            bytes for `Client`, an async iterable of bytes for `AsyncClient`.
        close: Gives the connection up. Called when the body is no longer needed, read to its end
            or not, and perhaps more than once; with an abort it is called from another thread.
            On the async side it is called on the loop, and may return an awaitable.
    """

    status: int
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    body: Iterable[bytes] | AsyncIterable[bytes] = ()
    close: Callable[[], Any] = _nothing


Fetch: TypeAlias = Callable[[FetchRequest], FetchResponse]
"""What `Client` takes as `fetch`: makes the request, returns when the headers are here."""

AsyncFetch: TypeAlias = Callable[[FetchRequest], Awaitable[FetchResponse]]
"""What `AsyncClient` takes as `fetch`: the same, awaited."""


def to_hfgen_error(error: Exception, signal: AbortSignal | None) -> HfgenError | None:
    """Return what to raise in place of what a transport raised; None to let it through.

    The transports of hfgen speak its own errors. A caller's `fetch` raises what it likes: the
    builtins for time-outs and broken connections are understood, the rest is the caller's.
    """
    failure: HfgenError
    if signal is not None and signal.aborted:
        # An abort closes the connection, and that can surface as any error.
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
    """Return what a stream raises after reading its body failed; None if nothing is missing."""
    failure = to_hfgen_error(error, signal)
    if failure is None:
        raise error
    ending = decoder.ending_error(failure)
    if ending is not None and ending is not failure:
        ending.__cause__ = failure
    return ending


def check_response(response: Any, *, asynchronous: bool) -> FetchResponse:
    """Return what a `fetch` returned, with `Headers` and an iterator as its body.

    Raises:
        TypeError: It is no response that can be read.
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


def check_piece(piece: Any) -> bytes:
    """Return a piece of a body.

    Raises:
        TypeError: It is not of bytes.
    """
    if not isinstance(piece, bytes):
        raise TypeError(f"the body of a FetchResponse gives bytes, not {type(piece).__name__}")
    return piece
