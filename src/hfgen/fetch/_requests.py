"""`from_requests`: a `fetch` over a session of requests."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from hfgen._io.library_errors import (
    ConnectionFailure,
    certificate_problem,
    connection_error,
    one_line,
    root_cause,
)

if TYPE_CHECKING:
    from types import ModuleType

    import requests

    from hfgen._core.errors import HfgenError
    from hfgen._core.fetch import Fetch, FetchRequest, FetchResponse
    from hfgen._sync.sockets import CuttableSocket

_REMEDY = "the session's `verify` can name more certificates to trust"


def from_requests(session: requests.Session) -> Fetch:
    """Return a `fetch` for `Client` that sends requests through a session of requests.

    It uses the session's adapters, proxies, `verify`, `cert` and `trust_env`. The session's
    headers, cookies, `auth`, hooks and the passwords of a `.netrc` are not used.

    Args:
        session: A `requests.Session`; the caller closes it.

    Raises:
        TypeError: `session` is none.
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
            return _send(session, prepared, (request.connect_timeout, request.timeout))

        def translate(error: Exception, cuttable: CuttableSocket) -> HfgenError:
            return _to_hfgen_error(error, request, cuttable, requests)

        failures = (requests.RequestException, *FAILURES)
        response, cuttable = send_cuttable(request, make, failures, translate)
        return to_fetch_response(response.raw, request, cuttable)

    return fetch


def _send(
    session: requests.Session,
    prepared: requests.PreparedRequest,
    timeout: tuple[float | None, float | None],
) -> requests.Response:
    # Not Session.send, which reads the body of a redirect to its end even if it does not follow.
    url = prepared.url or ""
    # None lets the environment decide, as requests does if the session has no `verify` of its own.
    verify: Any = None if session.verify is True else session.verify
    settings: Any = session.merge_environment_settings(
        url, dict(session.proxies), True, verify, None
    )
    adapter: Any = session.get_adapter(url)
    if hasattr(adapter, "get_connection_with_tls_context"):
        pool = adapter.get_connection_with_tls_context(
            prepared, settings["verify"], proxies=settings["proxies"], cert=settings["cert"]
        )
        # Attaches the socket to the call, so that an abort finds it. Other users of the session are
        # not affected.
        pool.ConnectionCls = _make_cuttable(pool.ConnectionCls)
    response: requests.Response = adapter.send(prepared, timeout=timeout, **settings)
    return response


@cache
def _make_cuttable(connection: type[Any]) -> type[Any]:
    from hfgen._sync.sockets import CuttableConnection  # noqa: PLC0415 - imports urllib3

    if issubclass(connection, CuttableConnection):
        return connection
    return type(connection.__name__, (CuttableConnection, connection), {})


def _to_hfgen_error(
    error: Exception, request: FetchRequest, cuttable: CuttableSocket, library: ModuleType
) -> HfgenError:
    cause = root_cause(error)
    # Not the message of requests, which shows the query of the URL.
    reason = certificate_problem(error, _REMEDY) or one_line(cause or type(error).__name__)
    if isinstance(error, library.ConnectTimeout) or (
        isinstance(error, library.Timeout) and cuttable.state == "connecting"
    ):
        failure = ConnectionFailure.CONNECT_TIMEOUT
    elif isinstance(error, library.Timeout):
        failure = ConnectionFailure.READ_TIMEOUT
    elif cuttable.state == "connected":
        failure = ConnectionFailure.BROKEN
    else:
        failure = ConnectionFailure.NOT_CONNECTED
    return connection_error(failure, request, reason, cause=cause)
