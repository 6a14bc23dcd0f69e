"""`from_aiohttp`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hfgen._core.errors import InvalidRequestError

if TYPE_CHECKING:
    import aiohttp

    from hfgen._core.fetch import AsyncFetch, FetchRequest, FetchResponse

# Of a session's own headers, those that are secrets; it would send them along with any redirect.
_SECRET = ("authorization", "cookie", "proxy-authorization")


def from_aiohttp(session: aiohttp.ClientSession) -> AsyncFetch:
    """Return a `fetch` for `AsyncClient` that goes over a session of aiohttp.

    It has the session's connector: its proxy, TLS, resolver and limits. The session's timeouts
    and its `raise_for_status` are not used; its cookies and harmless headers are sent. It belongs
    to one event loop, as a session does.

    Args:
        session: An `aiohttp.ClientSession`; the caller closes it.

    Raises:
        TypeError: It is none.
        InvalidRequestError: It has credentials of its own, which could leak by a redirect.
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
        return to_fetch_response(response, request, unpacked=session.auto_decompress)

    return fetch
