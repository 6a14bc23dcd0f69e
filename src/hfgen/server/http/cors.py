"""Which web pages may read the answers: the headers of TGI's CorsLayer.

Sources: text-generation-inference, `router/src/server.rs` (`start`), and tower-http,
`tower-http/src/cors` (`CorsLayer::call`). The layer lies around all routes: it answers every
OPTIONS itself, whatever the path, and adds to every other answer, refusals and streams included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

_ALLOW_ORIGIN = "access-control-allow-origin"

# What an answer depends on; the layer names all three whether it does or not.
_VARY = "origin, access-control-request-method, access-control-request-headers"

_PREFLIGHT = {
    "access-control-allow-methods": "GET,POST",
    "access-control-allow-headers": "content-type",
}


async def preflight(_: web.Request) -> web.StreamResponse:
    """Answer a browser that asks what it may send."""
    return web.Response(headers=_PREFLIGHT)


def allow(
    origins: Sequence[str] | None,
) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return what adds to an answer who may read it.

    Args:
        origins: Those whose pages may; None: any.
    """
    allowed = None if origins is None else frozenset(origins)

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        headers.add("vary", _VARY)
        origin = request.headers.get("origin")
        if allowed is None:
            headers[_ALLOW_ORIGIN] = "*"
        elif origin in allowed:
            headers[_ALLOW_ORIGIN] = origin

    return add
