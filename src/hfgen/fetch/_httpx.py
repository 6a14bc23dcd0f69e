"""`from_httpx`."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, Protocol, overload

from hfgen._causes import reason, refusal, root
from hfgen._errors import ConnectError, HfgenError, TimeoutError  # noqa: A004
from hfgen._fetch import FetchRequest, FetchResponse
from hfgen._url import display

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from types import ModuleType

    from hfgen._fetch import AsyncFetch, Fetch
    from hfgen._transports.lines import Line

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
    from hfgen._transports.lines import Line  # noqa: PLC0415 - imports urllib3

    def fetch(request: FetchRequest) -> FetchResponse:
        line = Line()
        unsubscribe = request.signal.subscribe(line.cut) if request.signal else None
        failure: HfgenError | None = None
        try:
            built = _built(request, library, trace=_watching(line))
            response = client.send(built, stream=True, auth=None, follow_redirects=False)
        except (library.HTTPError, library.InvalidURL, OSError) as error:
            failure = _translated(error, request, library)
        except BaseException:
            line.release()
            raise
        finally:
            if unsubscribe:
                unsubscribe()
        if failure is not None:
            line.release()
            raise failure
        body = _Pieces(response, line, lambda error: _translated(error, request, library))
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
            body = _AsyncPieces(response, lambda error: _translated(error, request, library))
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


def _watching(line: Line) -> Callable[[str, dict[str, Any]], None]:
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


class _Pieces:
    """The body as it arrives. Whoever reads it closes it: httpx's responses are not for threads."""

    def __init__(
        self, response: Any, line: Line, translate: Callable[[Exception], HfgenError]
    ) -> None:
        self._response = response
        self._line = line
        self._translate = translate
        self._pieces = response.iter_bytes()
        # One that may be taken twice: a signal handler may close in the middle of these.
        self._lock = threading.RLock()
        self._reading = False
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        failure: HfgenError | None = None
        with self._lock:
            if self._closed:
                raise ConnectError("the connection has been closed")
            self._reading = True
        try:
            piece: bytes | None = next(self._pieces, None)
            if piece is None:
                # The connection is back in the pool and somebody else's.
                self._line.release()
        except Exception as error:  # noqa: BLE001 - a socket cut under it breaks it in many ways
            failure = self._translate(error)
        finally:
            with self._lock:
                self._reading = False
                closed = self._closed
            if closed:
                self._response.close()
        if failure is not None:
            raise failure
        if piece is None:
            raise StopIteration
        return piece

    def close(self) -> None:
        with self._lock:
            self._line.cut()
            self._closed = True
            reading = self._reading
        if not reading:
            self._response.close()


class _AsyncPieces:
    """The body as it arrives, with httpx's errors translated."""

    def __init__(self, response: Any, translate: Callable[[Exception], HfgenError]) -> None:
        self._response = response
        self._translate = translate
        self._closed = False
        self._pieces = response.aiter_bytes()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece: bytes = await anext(self._pieces)
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


def _translated(error: Exception, request: FetchRequest, library: ModuleType) -> HfgenError:
    where = display(request.url)
    failure: HfgenError
    if isinstance(error, library.ConnectTimeout | library.PoolTimeout):
        failure = TimeoutError(
            f"no connection to {where} in time (connect timeout)", phase="connect"
        )
    elif isinstance(error, library.TimeoutException):
        failure = TimeoutError(f"{where} sent nothing in time")
    elif isinstance(error, library.ConnectError | library.ProxyError):
        failure = ConnectError(
            f"cannot connect to {where}: {refusal(error, _REMEDY) or reason(error)}"
        )
    elif isinstance(error, library.RemoteProtocolError):
        failure = ConnectError(f"the connection to {where} broke: {reason(error)}")
    else:
        why = type(error).__name__ if isinstance(error, library.ProtocolError) else reason(error)
        failure = ConnectError(f"the connection to {where} broke: {why}")
    # Not the library's own error: it holds the request, and its key.
    failure.__cause__ = root(error)
    return failure
