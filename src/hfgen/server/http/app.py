"""The aiohttp application: which path has which handler, the API key, CORS, 404 and 405.

`build_app` is called once, when the server starts. It puts the service into the application and
registers the routes; aiohttp then calls a handler for each request. Handlers that generate need
the API key, if there is one. Each answer gets its CORS headers just before it is sent. On
shutdown the application first lets running generations end (`Inference.drain`).
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import web

from hfgen.server.http import openai_routes, status_routes, tgi_routes
from hfgen.server.http.body import PAYLOAD_LIMIT
from hfgen.server.http.inference import SERVICE, Service
from hfgen.server.http.request_log import REQUEST_ID, REQUEST_ID_HEADER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hfgen.server._shutdown import Shutdown

_Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

# POST routes, which need the API key, and GET routes, which do not: monitoring works without it.
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


# aiohttp's pattern for any other path, also one with line breaks in it.
_ANY_OTHER_PATH = r"/{rest:(?s:.*)}"

# CORS tells browsers which web pages may read the answers. As TGI's CorsLayer does, the server
# answers every OPTIONS request itself, whatever the path, and adds the headers to every other
# answer, errors and streams included. Sources: text-generation-inference, `router/src/server.rs`
# (`start`), and tower-http, `tower-http/src/cors` (`CorsLayer::call`).
_ALLOW_ORIGIN = "access-control-allow-origin"

# CorsLayer always names these three, also where the answer does not depend on them.
_VARY = "origin, access-control-request-method, access-control-request-headers"

_PREFLIGHT = {
    "access-control-allow-methods": "GET,POST",
    "access-control-allow-headers": "content-type",
}


def build_app(service: Service, shutdown: Shutdown) -> web.Application:
    """Return the application that serves a model.

    Args:
        service: The model, with its engine running.
        shutdown: How long running generations may take once the server stops.
    """
    # No middlewares: aiohttp caches the last 1024 handlers that it has wrapped in middlewares, for
    # the whole process. Each would keep its application, and so the model, in memory after the
    # server has stopped.
    app = web.Application(client_max_size=PAYLOAD_LIMIT + 1)
    app[SERVICE] = service
    key = service.options.api_key
    app.add_routes(
        [
            *(web.post(path, _require_key(handler, key)) for path, handler in _KEY_ROUTES),
            *(web.get(path, handler) for path, handler in _OPEN_ROUTES),
        ]
    )
    # Registered after the others, because aiohttp takes the first route that matches.
    for path, allowed in _allowed_methods().items():
        app.add_routes(
            [web.options(path, _answer_preflight), web.route("*", path, _refuse_method(allowed))]
        )

    async def drain(_: web.Application) -> None:
        await service.inference.drain(shutdown.grace, shutdown.hurry)

    async def close_tokenizer(_: web.Application) -> None:
        await asyncio.to_thread(service.validator.tokenizer.close)

    # When `on_shutdown` runs, aiohttp has closed the listening socket and the idle connections.
    app.on_shutdown.append(drain)
    app.on_cleanup.append(close_tokenizer)
    app.on_response_prepare.append(_set_headers)
    app.on_response_prepare.append(_allow_origins(service.options.cors_allow_origin))
    return app


def _allowed_methods() -> dict[str, str | None]:
    """Return the value of the header `allow` for each path; None for an unknown path."""
    posts, gets = ({path for path, _ in routes} for routes in (_KEY_ROUTES, _OPEN_ROUTES))
    allowed: dict[str, str | None] = {
        path: ",".join(["GET,HEAD"] * (path in gets) + ["POST"] * (path in posts))
        for path in sorted(posts | gets)
    }
    return allowed | {_ANY_OTHER_PATH: None}


def _refuse_method(allowed: str | None) -> _Handler:
    """Return a handler for an unknown path or a wrong method: no body, as in axum."""

    async def refuse(_: web.Request) -> web.StreamResponse:
        if allowed is None:
            return web.Response(status=404)
        return web.Response(status=405, headers={"allow": allowed})

    return refuse


def _require_key(handler: _Handler, key: str | None) -> _Handler:
    if key is None:
        return handler
    expected = key.encode()

    async def check_key(request: web.Request) -> web.StreamResponse:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        # aiohttp decodes bytes that are not UTF-8 as surrogates; these never equal the key.
        has_key = hmac.compare_digest(credentials.encode(errors="surrogateescape"), expected)
        if scheme.lower() == "bearer" and has_key:
            return await handler(request)
        return web.Response(status=401)

    return check_key


async def _set_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop("Server", None)
    response.headers[REQUEST_ID_HEADER] = request[REQUEST_ID]


async def _answer_preflight(_: web.Request) -> web.StreamResponse:
    """Answer a preflight request: a browser asks which methods and headers it may send."""
    return web.Response(headers=_PREFLIGHT)


def _allow_origins(
    origins: Sequence[str] | None,
) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return a signal handler that adds the CORS headers to an answer.

    Args:
        origins: The origins whose pages may read the answers; None: any origin.
    """
    allowed = None if origins is None else frozenset(origins)

    async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        headers.add("vary", _VARY)
        origin = request.headers.get("origin")
        if allowed is None:
            headers[_ALLOW_ORIGIN] = "*"
        elif origin in allowed:
            headers[_ALLOW_ORIGIN] = origin

    return add_headers
