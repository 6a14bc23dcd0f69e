"""The seam between hfgen and the network: what a transport is given, and what it returns."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from hfgen._core.headers import Headers
from hfgen._core.url import display

if TYPE_CHECKING:
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
            ("url", display(self.url)),
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
