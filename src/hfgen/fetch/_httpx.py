"""`from_httpx`: a `fetch` over a client of httpx or httpx2."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, overload

from hfgen._core.errors import HfgenError
from hfgen._core.fetch import FetchRequest, FetchResponse
from hfgen._io.async_unpacking import Unpacked
from hfgen._io.library_errors import (
    ConnectionFailure,
    certificate_problem,
    connection_error,
    one_line,
    root_cause,
)
from hfgen._io.unpacking import make_unpacker
from hfgen._sync.closable_body import ClosableBody

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from types import ModuleType

    from hfgen._core.fetch import AsyncFetch, Fetch
    from hfgen._io.unpacking import Unpacker
    from hfgen._sync.sockets import CuttableSocket

# They have the same interface.
_LIBRARIES = ("httpx", "httpx2")
_REMEDY = "the client's `verify` can hold more certificates to trust"


class _Client(Protocol):
    """The part of `httpx.Client` that the async one lacks. Either library may be missing."""

    @property
    def build_request(self) -> Any: ...
    def close(self) -> None: ...


class _AsyncClient(Protocol):
    """The part of `httpx.AsyncClient` that the sync one lacks."""

    @property
    def build_request(self) -> Any: ...
    async def aclose(self) -> None: ...


@overload
def from_httpx(client: _Client) -> Fetch: ...
@overload
def from_httpx(client: _AsyncClient) -> AsyncFetch: ...
def from_httpx(client: Any) -> Fetch | AsyncFetch:
    """Return a `fetch` that sends requests through a client of httpx or httpx2.

    It uses the client's transport: its proxies, TLS, limits, HTTP/2, and its event hooks. The
    client's headers, cookies, parameters, `auth`, `base_url` and timeouts are not used.

    Args:
        client: An `httpx.Client` or `httpx2.Client`, for `hfgen.Client`; or an `AsyncClient` of
            either, for `hfgen.AsyncClient`. The caller closes it.

    Raises:
        TypeError: `client` is none of these.
    """
    for kind in type(client).__mro__:
        library = kind.__module__.partition(".")[0]
        if library in _LIBRARIES and kind.__name__ == "Client":
            return _sync(client, sys.modules[library])
        if library in _LIBRARIES and kind.__name__ == "AsyncClient":
            return _async(client, sys.modules[library])
    raise TypeError(
        "from_httpx takes a Client or an AsyncClient of httpx or httpx2, "
        f"not {type(client).__name__}"
    )


def _sync(client: Any, library: ModuleType) -> Fetch:
    from hfgen._sync.sockets import CuttableSocket  # noqa: PLC0415 - imports urllib3

    def fetch(request: FetchRequest) -> FetchResponse:
        cuttable = CuttableSocket()
        unsubscribe = request.signal.subscribe(cuttable.cut) if request.signal else None
        failure: HfgenError | None = None
        try:
            httpx_request = _make_request(request, library, trace=_attach_sockets(cuttable))
            response = client.send(httpx_request, stream=True, auth=None, follow_redirects=False)
        except (library.HTTPError, library.InvalidURL, OSError) as error:
            failure = _to_hfgen_error(error, request, library)
        except BaseException:
            cuttable.cut()
            cuttable.release()
            raise
        finally:
            if unsubscribe:
                unsubscribe()
        if failure is not None:
            cuttable.release()
            raise failure
        body = ClosableBody(_pieces(response, request, cuttable, library), cuttable, response.close)
        return FetchResponse(
            status=response.status_code, headers=response.headers, body=body, close=body.close
        )

    return fetch


def _async(client: Any, library: ModuleType) -> AsyncFetch:
    async def fetch(request: FetchRequest) -> FetchResponse:
        try:
            httpx_request = _make_request(request, library)
            response = await client.send(
                httpx_request, stream=True, auth=None, follow_redirects=False
            )
        except (library.HTTPError, library.InvalidURL, OSError) as error:
            failure = _to_hfgen_error(error, request, library)
        else:
            body = _AsyncPieces(response, request, library)
            return FetchResponse(
                status=response.status_code, headers=response.headers, body=body, close=body.close
            )
        raise failure

    return fetch


def _make_request(request: FetchRequest, library: ModuleType, **extensions: Any) -> Any:
    connect = request.connect_timeout
    timeout = library.Timeout(request.timeout, connect=connect, pool=connect)
    # Not client.build_request, which adds the client's own headers and cookies.
    return library.Request(
        request.method,
        request.url,
        headers=dict(request.headers),
        content=request.body or None,
        extensions={"timeout": timeout.as_dict(), **extensions},
    )


def _attach_sockets(cuttable: CuttableSocket) -> Callable[[str, dict[str, Any]], None]:
    """Return a listener to httpx's trace events that attaches the socket of the call."""

    def trace(event: str, facts: dict[str, Any]) -> None:
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            cuttable.attach(facts["return_value"].get_extra_info("socket"))
        elif event.endswith(".start_tls.started"):
            cuttable.hold()
        elif event == "http11.send_request_headers.started":
            # The first event on a reused connection. It does not name the connection.
            stream = _stream_of_caller()
            if stream is not None:
                cuttable.attach(stream.get_extra_info("socket"))
        elif event.startswith("http2."):
            # Other calls use the same socket.
            cuttable.release()

    return trace


def _stream_of_caller() -> Any:
    frame = sys._getframe(2)  # noqa: SLF001 - only a frame refers to it
    while frame is not None:
        owner = frame.f_locals.get("self")
        if (stream := getattr(owner, "_network_stream", None)) is not None:
            return stream
        frame = frame.f_back  # type: ignore[assignment]
    return None


class _AsyncPieces:
    """The body as it arrives, with httpx's errors translated."""

    def __init__(self, response: Any, request: FetchRequest, library: ModuleType) -> None:
        self._response = response
        self._translate = partial(_to_hfgen_error, request=request, library=library)
        self._closed = False
        unpacking = _unpacker(response, request)
        self._pieces = response.aiter_bytes() if unpacking is None else response.aiter_raw()
        self._body = self._pieces if unpacking is None else Unpacked(self._pieces, unpacking)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece: bytes = await anext(self._body)
        except StopAsyncIteration:
            raise
        except Exception as error:  # noqa: BLE001 - a client closed meanwhile raises many kinds
            failure = self._translate(error)
        else:
            return piece
        raise failure

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if not self._pieces.ag_running:
            await self._pieces.aclose()
        await self._response.aclose()


def _unpacker(response: Any, request: FetchRequest) -> Unpacker | None:
    """Return what unpacks the body, because httpx unpacks without a bound."""
    # If an event hook of the client has read the body, httpx has unpacked it already.
    return None if response.is_stream_consumed else make_unpacker(response.headers, request)


def _pieces(
    response: Any, request: FetchRequest, cuttable: CuttableSocket, library: ModuleType
) -> Iterator[bytes]:
    """Yield the body as it arrives, with httpx's errors translated."""
    try:
        if (unpacking := _unpacker(response, request)) is None:
            yield from response.iter_bytes()
        else:
            yield from unpacking.unpack(response.iter_raw())
    except Exception as error:  # noqa: BLE001 - a socket cut meanwhile raises many kinds
        failure = _to_hfgen_error(error, request, library)
    else:
        # The connection is back in the pool, for another call.
        cuttable.release()
        return
    raise failure


def _to_hfgen_error(error: Exception, request: FetchRequest, library: ModuleType) -> HfgenError:
    if isinstance(error, HfgenError):
        return error
    reason = one_line(error)
    if isinstance(error, library.ConnectTimeout | library.PoolTimeout):
        failure = ConnectionFailure.CONNECT_TIMEOUT
    elif isinstance(error, library.TimeoutException):
        failure = ConnectionFailure.READ_TIMEOUT
    elif isinstance(error, library.ConnectError | library.ProxyError):
        failure = ConnectionFailure.NOT_CONNECTED
        reason = certificate_problem(error, _REMEDY) or reason
    else:
        failure = ConnectionFailure.BROKEN
        if isinstance(error, library.LocalProtocolError):
            # Its message may quote a header of the request.
            reason = type(error).__name__
    return connection_error(failure, request, reason, cause=root_cause(error))
