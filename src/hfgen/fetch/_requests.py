"""`from_requests`."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from hfgen._core.errors import ConnectError, HfgenError, TimeoutError  # noqa: A004
from hfgen._core.url import redact_url
from hfgen._io.library_errors import certificate_problem, one_line, root_cause

if TYPE_CHECKING:
    from types import ModuleType

    import requests

    from hfgen._core.fetch import Fetch, FetchRequest, FetchResponse
    from hfgen._sync.sockets import CuttableSocket

_REMEDY = "the session's `verify` can name more certificates to trust"


def from_requests(session: requests.Session) -> Fetch:
    """Return a `fetch` for `Client` that goes over a session of requests.

    It has the session's adapters, proxies, `verify`, `cert` and `trust_env`. The session's
    headers, cookies, `auth`, hooks and the passwords of a `.netrc` are not used.

    Args:
        session: A `requests.Session`; the caller closes it.

    Raises:
        TypeError: It is none.
    """
    import requests  # noqa: PLC0415 - optional

    from hfgen._sync.transport import FAILURES, send_cuttable, to_fetch_response  # noqa: PLC0415 - imports urllib3

    if not isinstance(session, requests.Session):
        raise TypeError(f"from_requests takes a requests.Session, not {type(session).__name__}")

    def fetch(request: FetchRequest) -> FetchResponse:
        def make() -> requests.Response:
            prepared = requests.PreparedRequest()
            prepared.prepare(
                request.method, request.url, dict(request.headers), data=request.body or None
            )
            return _sent(session, prepared, (request.connect_timeout, request.timeout))

        def translate(error: Exception, line: CuttableSocket) -> HfgenError:
            return _translated(error, request, line, requests)

        failures = (requests.RequestException, *FAILURES)
        response, line = send_cuttable(request, make, failures, translate)
        return to_fetch_response(response.raw, request, line)

    return fetch


def _sent(
    session: requests.Session,
    prepared: requests.PreparedRequest,
    timeout: tuple[float | None, float | None],
) -> requests.Response:
    # Not Session.send: even when it is not to follow a redirect, it reads its body to the end.
    url = prepared.url or ""
    # What the session has is over what the environment has; given to it, that is.
    verify: Any = None if session.verify is True else session.verify
    settings: Any = session.merge_environment_settings(
        url, dict(session.proxies), True, verify, None
    )
    adapter: Any = session.get_adapter(url)
    if hasattr(adapter, "get_connection_with_tls_context"):
        pool = adapter.get_connection_with_tls_context(
            prepared, settings["verify"], proxies=settings["proxies"], cert=settings["cert"]
        )
        # So that an abort finds the socket of the call; other users of the session do not notice.
        pool.ConnectionCls = _watched(pool.ConnectionCls)
    response: requests.Response = adapter.send(prepared, timeout=timeout, **settings)
    return response


@cache
def _watched(connection: type[Any]) -> type[Any]:
    from hfgen._sync.sockets import CuttableConnection  # noqa: PLC0415 - imports urllib3

    if issubclass(connection, CuttableConnection):
        return connection
    return type(connection.__name__, (CuttableConnection, connection), {})


def _translated(
    error: Exception, request: FetchRequest, line: CuttableSocket, library: ModuleType
) -> HfgenError:
    where = redact_url(request.url)
    cause = root_cause(error)
    # Of the library's own message, which shows the query, nothing.
    why = certificate_problem(error, _REMEDY) or (
        one_line(cause) if cause else type(error).__name__
    )
    failure: HfgenError
    if isinstance(error, library.ConnectTimeout) or (
        isinstance(error, library.Timeout) and line.state == "connecting"
    ):
        failure = TimeoutError(
            f"no connection to {where} in time (connect timeout)", phase="connect"
        )
    elif isinstance(error, library.Timeout):
        failure = TimeoutError(f"{where} sent nothing in time")
    elif line.state == "connected":
        failure = ConnectError(f"the connection to {where} broke: {why}")
    else:
        failure = ConnectError(f"cannot connect to {where}: {why}")
    # Not the library's own error: it holds the request, and its key.
    failure.__cause__ = cause
    return failure
