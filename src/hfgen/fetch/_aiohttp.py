"""`from_aiohttp`: a `fetch` over a session of aiohttp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hfgen._core.errors import InvalidRequestError

if TYPE_CHECKING:
    import aiohttp

    from hfgen._core.fetch import AsyncFetch, FetchRequest, FetchResponse

# Headers that are secrets. A session would send its own ones to the target of a redirect, too.
_SECRET = ("authorization", "cookie", "proxy-authorization")


def from_aiohttp(session: aiohttp.ClientSession) -> AsyncFetch:
    """Return a `fetch` for `AsyncClient` that sends requests through a session of aiohttp.

    It uses the session's connector: its proxy, TLS, resolver and limits. The session's timeouts
    and its `raise_for_status` are not used; its cookies and harmless headers are sent. It works in
    one event loop, that of the session.

    Args:
        session: An `aiohttp.ClientSession`; the caller closes it.

    Raises:
        TypeError: `session` is none.
        InvalidRequestError: The session has credentials of its own, which could leak by a redirect.
    """
    import aiohttp  # noqa: PLC0415 - not before it is used

    if not isinstance(session, aiohttp.ClientSession):
        raise TypeError(
            f"from_aiohttp takes an aiohttp.ClientSession, not {type(session).__name__}"
        )
    if session.auth is not None or any(name in session.headers for name in _SECRET):
        raise InvalidRequestError(
            "the session has credentials of its own, which it would send wherever a redirect "
            "leads; pass api_key= or headers= to hfgen in their place"
        )
    from hfgen._async.transport import send_request, to_fetch_response  # noqa: PLC0415 - imports aiohttp

    async def fetch(request: FetchRequest) -> FetchResponse:
        response: Any = await send_request(session, request)
        return to_fetch_response(response, request)

    return fetch
