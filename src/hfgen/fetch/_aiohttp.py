"""`from_aiohttp`: a `fetch` over a session of aiohttp."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from hfgen._core.errors import HfgenError
from hfgen._io.connecting import proxy_from_environment

if TYPE_CHECKING:
    import aiohttp

    from hfgen._core.fetch import AsyncFetch, FetchRequest, FetchResponse


def from_aiohttp(session: aiohttp.ClientSession) -> AsyncFetch:
    """Return a `fetch` for `AsyncClient` that sends requests through a session of aiohttp.

    It uses the session's connector (its TLS, resolver and limits), its proxy, `trust_env` and trace
    configurations. The session's headers, cookies, `auth`, timeouts and `raise_for_status` are not
    used, and neither are passwords of a `.netrc`. It works in one event loop, that of the session.

    Args:
        session: An `aiohttp.ClientSession`; the caller closes it.

    Raises:
        TypeError: `session` is none.
    """
    import aiohttp  # noqa: PLC0415 - not before it is used

    if not isinstance(session, aiohttp.ClientSession):
        raise TypeError(
            f"from_aiohttp takes an aiohttp.ClientSession, not {type(session).__name__}"
        )
    from hfgen._async.transport import (  # noqa: PLC0415 - imports aiohttp
        open_session,
        send_request,
        to_fetch_response,
    )

    bare: aiohttp.ClientSession | None = None

    async def fetch(request: FetchRequest) -> FetchResponse:
        nonlocal bare
        if session.closed:
            raise HfgenError("the aiohttp session is closed")
        if bare is None:
            # Not the caller's session: hfgen follows redirects itself, and aiohttp would send the
            # headers of that session, among them keys, to the target of a redirect.
            bare = open_session(
                session.connector,
                connector_owner=False,
                trace_configs=session.trace_configs,
                proxy=session._default_proxy,  # noqa: SLF001 - there is no property
                proxy_auth=session._default_proxy_auth,  # noqa: SLF001
            )
            # A session that is collected with a connector warns that it has not been closed.
            weakref.finalize(fetch, bare.detach)
        proxy = proxy_from_environment(request.url) if session.trust_env else None
        response: Any = await send_request(bare, request, through=proxy)
        return to_fetch_response(response, request)

    return fetch
