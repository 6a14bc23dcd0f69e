"""The routes and what surrounds them: the key, the empty answers, the end."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import web

from hfgen.server.http import openai_routes, status_routes, tgi_routes
from hfgen.server.http.body import PAYLOAD_LIMIT
from hfgen.server.http.inference import SERVICE, Service

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hfgen.server._shutdown import Shutdown

_Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

# The key guards these and nothing else: whoever watches the server needs none.
_KEY_ROUTES: tuple[tuple[str, _Handler], ...] = (
    ("/", tgi_routes.compat_generate),
    ("/generate", tgi_routes.generate),
    ("/generate_stream", tgi_routes.generate_stream),
    ("/tokenize", tgi_routes.tokenize),
    ("/v1/completions", openai_routes.create_completion),
)
_OPEN_ROUTES: tuple[tuple[str, _Handler], ...] = (
    ("/", status_routes.check_health),
    ("/health", status_routes.check_health),
    ("/info", status_routes.get_info),
    ("/metrics", status_routes.get_metrics),
    ("/ping", status_routes.check_health),
    ("/v1/models", status_routes.list_models),
)


# Whatever is not there, line breaks included; a pattern of aiohttp's.
_ELSEWHERE = r"/{rest:(?s:.*)}"

# Which web pages may read the answers: the headers of TGI's CorsLayer.
# Sources: text-generation-inference, `router/src/server.rs` (`start`), and tower-http,
# `tower-http/src/cors` (`CorsLayer::call`).
_ALLOW_ORIGIN = "access-control-allow-origin"

# What an answer depends on; the layer names all three whether it does or not.
_VARY = "origin, access-control-request-method, access-control-request-headers"

_PREFLIGHT = {
    "access-control-allow-methods": "GET,POST",
    "access-control-allow-headers": "content-type",
}


def build_app(service: Service, shutdown: Shutdown) -> web.Application:
    """Return the application that serves a model.

    Args:
        service: The model, with its engine running.
        shutdown: What says when to stop, and how patiently.
    """
    # No middlewares: aiohttp keeps the last 1024 handlers it has put them around in a cache of the
    # process, and with each its application, the service and the whole model, long after the end.
    app = web.Application(client_max_size=PAYLOAD_LIMIT + 1)
    app[SERVICE] = service
    key = service.options.api_key
    app.add_routes(
        [
            *(
                web.post(path, _ignore_disconnect(_require_key(handler, key)))
                for path, handler in _KEY_ROUTES
            ),
            *(web.get(path, _ignore_disconnect(handler)) for path, handler in _OPEN_ROUTES),
        ]
    )
    # After the others: aiohttp takes the first route that fits.
    for path, allowed in _allowed_methods().items():
        app.add_routes(
            [web.options(path, _answer_preflight), web.route("*", path, _refuse_method(allowed))]
        )

    async def drain(_: web.Application) -> None:
        await service.inference.drain(shutdown.grace, shutdown.hurry)

    # Between these two aiohttp has closed the listening socket and the idle connections.
    app.on_shutdown.append(drain)
    app.on_response_prepare.append(_drop_server_header)
    app.on_response_prepare.append(_allow_origins(service.options.cors_allow_origin))
    return app


def _allowed_methods() -> dict[str, str | None]:
    """Return what may be asked of each path, for the header `allow`; None: nothing."""
    posts, gets = ({path for path, _ in routes} for routes in (_KEY_ROUTES, _OPEN_ROUTES))
    allowed: dict[str, str | None] = {
        path: ",".join(["GET,HEAD"] * (path in gets) + ["POST"] * (path in posts))
        for path in sorted(posts | gets)
    }
    return allowed | {_ELSEWHERE: None}


def _refuse_method(allowed: str | None) -> _Handler:
    """Answer an unknown path and a wrong method as axum does: without a body."""

    async def refuse(_: web.Request) -> web.StreamResponse:
        if allowed is None:
            return web.Response(status=404)
        return web.Response(status=405, headers={"allow": allowed})

    return refuse


def _require_key(handler: _Handler, key: str | None) -> _Handler:
    if key is None:
        return handler
    expected = key.encode()

    async def guarded(request: web.Request) -> web.StreamResponse:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        # Headers are bytes: what is no UTF-8 comes as surrogates, and equals no key.
        same = hmac.compare_digest(given.encode(errors="surrogateescape"), expected)
        if scheme.lower() == "bearer" and same:
            return await handler(request)
        return web.Response(status=401)

    return guarded


def _ignore_disconnect(handler: _Handler) -> _Handler:
    async def patient(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except ConnectionError:
            # The client has gone, and a write saw it before the handler was cancelled. Nobody
            # reads this; it only keeps aiohttp from taking it for an error of ours.
            return web.Response(status=500)

    return patient


async def _drop_server_header(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop("Server", None)


async def _answer_preflight(_: web.Request) -> web.StreamResponse:
    """Answer a browser that asks what it may send."""
    return web.Response(headers=_PREFLIGHT)


def _allow_origins(
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
