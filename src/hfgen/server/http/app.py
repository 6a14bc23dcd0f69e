"""The routes and what surrounds them: the key, the empty answers, the end."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import web

from hfgen.server.http import openai_routes as _completions
from hfgen.server.http import status_routes as _status
from hfgen.server.http import tgi_routes as _native
from hfgen.server.http.body import PAYLOAD_LIMIT
from hfgen.server.http.cors import allow, preflight
from hfgen.server.http.service import SERVICE, Service

if TYPE_CHECKING:
    from hfgen.server._control import Control

_Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

# The key guards these and nothing else: whoever watches the server needs none.
_GUARDED: tuple[tuple[str, _Handler], ...] = (
    ("/", _native.compat_generate),
    ("/generate", _native.generate),
    ("/generate_stream", _native.generate_stream),
    ("/tokenize", _native.tokenize),
    ("/v1/completions", _completions.completions),
)
_OPEN: tuple[tuple[str, _Handler], ...] = (
    ("/", _status.health),
    ("/health", _status.health),
    ("/info", _status.info),
    ("/metrics", _status.metrics),
    ("/ping", _status.health),
    ("/v1/models", _status.models),
)


# Whatever is not there, line breaks included; a pattern of aiohttp's.
_ELSEWHERE = r"/{rest:(?s:.*)}"


def build(service: Service, control: Control) -> web.Application:
    """Return the application that serves a model.

    Args:
        service: The model, with its engine running.
        control: What says when to stop, and how patiently.
    """
    # No middlewares: aiohttp keeps the last 1024 handlers it has put them around in a cache of the
    # process, and with each its application, the service and the whole model, long after the end.
    app = web.Application(client_max_size=PAYLOAD_LIMIT + 1)
    app[SERVICE] = service
    key = service.options.api_key
    app.add_routes(
        [
            *(web.post(path, _patient(_guarded(handler, key))) for path, handler in _GUARDED),
            *(web.get(path, _patient(handler)) for path, handler in _OPEN),
        ]
    )
    # After the others: aiohttp takes the first route that fits.
    for path, allowed in _methods().items():
        app.add_routes([web.options(path, preflight), web.route("*", path, _refusing(allowed))])

    async def drain(_: web.Application) -> None:
        await service.inference.drain(control.grace, control.hurry)

    # Between these two aiohttp has closed the listening socket and the idle connections.
    app.on_shutdown.append(drain)
    app.on_response_prepare.append(_name_no_software)
    app.on_response_prepare.append(allow(service.options.cors_allow_origin))
    return app


def _methods() -> dict[str, str | None]:
    """Return what may be asked of each path, for the header `allow`; None: nothing."""
    posts, gets = ({path for path, _ in routes} for routes in (_GUARDED, _OPEN))
    allowed: dict[str, str | None] = {
        path: ",".join(["GET,HEAD"] * (path in gets) + ["POST"] * (path in posts))
        for path in sorted(posts | gets)
    }
    return allowed | {_ELSEWHERE: None}


def _refusing(allowed: str | None) -> _Handler:
    """Answer an unknown path and a wrong method as axum does: without a body."""

    async def refuse(_: web.Request) -> web.StreamResponse:
        if allowed is None:
            return web.Response(status=404)
        return web.Response(status=405, headers={"allow": allowed})

    return refuse


def _guarded(handler: _Handler, key: str | None) -> _Handler:
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


def _patient(handler: _Handler) -> _Handler:
    async def patient(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except ConnectionError:
            # The client has gone, and a write saw it before the handler was cancelled. Nobody
            # reads this; it only keeps aiohttp from taking it for an error of ours.
            return web.Response(status=500)

    return patient


async def _name_no_software(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop("Server", None)
