"""`from_httpx`."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, overload

from hfgen._core.errors import ConnectError, HfgenError, TimeoutError  # noqa: A004
from hfgen._core.fetch import FetchRequest, FetchResponse
from hfgen._core.url import redact_url
from hfgen._io.async_unpacking import Unpacked
from hfgen._io.library_errors import certificate_problem, one_line, root_cause
from hfgen._io.unpacking import make_unpacker
from hfgen._sync.closable_body import ClosableBody

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from types import ModuleType

    from hfgen._core.fetch import AsyncFetch, Fetch
    from hfgen._io.unpacking import Unpacker
    from hfgen._sync.sockets import CuttableSocket

# The two have one interface.
_LIBRARIES = ("httpx", "httpx2")
_REMEDY = "the client's `verify` can hold more certificates to trust"


class _Client(Protocol):
    """What of `httpx.Client` tells it from the async one. Either library may be missing."""

    @property
    def build_request(self) -> Any: ...
    def close(self) -> None: ...


class _AsyncClient(Protocol):
    """What of `httpx.AsyncClient` tells it from the sync one."""

    @property
    def build_request(self) -> Any: ...
    async def aclose(self) -> None: ...


@overload
def from_httpx(client: _Client) -> Fetch: ...
@overload
def from_httpx(client: _AsyncClient) -> AsyncFetch: ...
def from_httpx(client: Any) -> Fetch | AsyncFetch:
    """Return a `fetch` that goes over a client of httpx or httpx2.

    It has the client's transport: its proxies, TLS, limits, HTTP/2, and its event hooks. The
    client's headers, cookies, parameters, `auth`, `base_url` and timeouts are not used.

    Args:
        client: An `httpx.Client` or `httpx2.Client`, for `hfgen.Client`; or an `AsyncClient` of
            either, for `hfgen.AsyncClient`. The caller closes it.

    Raises:
        TypeError: It is none of them.
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
        line = CuttableSocket()
        unsubscribe = request.signal.subscribe(line.cut) if request.signal else None
        failure: HfgenError | None = None
        try:
            built = _built(request, library, trace=_watching(line))
            response = client.send(built, stream=True, auth=None, follow_redirects=False)
        except (library.HTTPError, library.InvalidURL, OSError) as error:
            failure = _translated(error, request, library)
        except BaseException:
            line.cut()
            line.release()
            raise
        finally:
            if unsubscribe:
                unsubscribe()
        if failure is not None:
            line.release()
            raise failure
        body = ClosableBody(_pieces(response, request, line, library), line, response.close)
        return FetchResponse(
            status=response.status_code, headers=response.headers, body=body, close=body.close
        )

    return fetch


def _async(client: Any, library: ModuleType) -> AsyncFetch:
    async def fetch(request: FetchRequest) -> FetchResponse:
        try:
            built = _built(request, library)
            response = await client.send(built, stream=True, auth=None, follow_redirects=False)
        except (library.HTTPError, library.InvalidURL, OSError) as error:
            failure = _translated(error, request, library)
        else:
            body = _AsyncPieces(response, request, library)
            return FetchResponse(
                status=response.status_code, headers=response.headers, body=body, close=body.close
            )
        raise failure

    return fetch


def _built(request: FetchRequest, library: ModuleType, **extensions: Any) -> Any:
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


def _watching(line: CuttableSocket) -> Callable[[str, dict[str, Any]], None]:
    """Return a listener to httpx's events that attaches the line to the socket of the call."""

    def trace(event: str, facts: dict[str, Any]) -> None:
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            line.attach(facts["return_value"].get_extra_info("socket"))
        elif event.endswith(".start_tls.started"):
            line.hold()
        elif event == "http11.send_request_headers.started":
            # On a kept connection this is the first event, and says nothing of the connection.
            stream = _stream_of_caller()
            if stream is not None:
                line.attach(stream.get_extra_info("socket"))
        elif event.startswith("http2."):
            # Its socket serves other calls as well.
            line.release()

    return trace


def _stream_of_caller() -> Any:
    frame = sys._getframe(2)  # noqa: SLF001 - the connection is nowhere but there
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
        self._translate = partial(_translated, request=request, library=library)
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
        except Exception as error:  # noqa: BLE001 - one closed under it breaks it in many ways
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
    """Return what is to unpack the body, which httpx itself does without a bound."""
    # An event hook of the client may have read it, and then httpx has unpacked it.
    return None if response.is_stream_consumed else make_unpacker(response.headers, request)


def _pieces(
    response: Any, request: FetchRequest, line: CuttableSocket, library: ModuleType
) -> Iterator[bytes]:
    """Yield the body as it arrives, with httpx's errors translated."""
    try:
        if (unpacking := _unpacker(response, request)) is None:
            yield from response.iter_bytes()
        else:
            for piece in response.iter_raw():
                yield from unpacking.feed(piece)
    except Exception as error:  # noqa: BLE001 - a socket cut under it breaks it in many ways
        failure = _translated(error, request, library)
    else:
        # The connection is back in the pool and somebody else's.
        line.release()
        return
    raise failure


def _translated(error: Exception, request: FetchRequest, library: ModuleType) -> HfgenError:
    if isinstance(error, HfgenError):
        return error
    where = redact_url(request.url)
    failure: HfgenError
    if isinstance(error, library.ConnectTimeout | library.PoolTimeout):
        failure = TimeoutError(
            f"no connection to {where} in time (connect timeout)", phase="connect"
        )
    elif isinstance(error, library.TimeoutException):
        failure = TimeoutError(f"{where} sent nothing in time")
    elif isinstance(error, library.ConnectError | library.ProxyError):
        failure = ConnectError(
            f"cannot connect to {where}: {certificate_problem(error, _REMEDY) or one_line(error)}"
        )
    elif isinstance(error, library.RemoteProtocolError):
        failure = ConnectError(f"the connection to {where} broke: {one_line(error)}")
    else:
        why = type(error).__name__ if isinstance(error, library.ProtocolError) else one_line(error)
        failure = ConnectError(f"the connection to {where} broke: {why}")
    # Not the library's own error: it holds the request, and its key.
    failure.__cause__ = root_cause(error)
    return failure
