"""The routes and what surrounds them: the key, the empty answers, the end."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import web

from hfgen.server import _completions, _native, _status
from hfgen.server._body import PAYLOAD_LIMIT
from hfgen.server._service import SERVICE, Service

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


def build(service: Service, control: Control) -> web.Application:
    """Return the application that serves a model.

    Args:
        service: The model, with its engine running.
        control: What says when to stop, and how patiently.
    """
    app = web.Application(middlewares=[_empty_refusals], client_max_size=PAYLOAD_LIMIT)
    app[SERVICE] = service
    key = service.options.api_key
    app.add_routes(
        [
            *(web.post(path, _guarded(handler, key)) for path, handler in _GUARDED),
            *(web.get(path, handler) for path, handler in _OPEN),
        ]
    )

    async def drain(_: web.Application) -> None:
        await service.inference.drain(control.grace, control.hurry)

    # Between these two aiohttp has closed the listening socket and the idle connections.
    app.on_shutdown.append(drain)
    app.on_response_prepare.append(_name_no_software)
    return app


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


@web.middleware
async def _empty_refusals(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Answer an unknown path and a wrong method as axum does: without a body."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        return web.Response(status=405, headers={"allow": error.headers["Allow"]})
    except web.HTTPNotFound:
        return web.Response(status=404)
    except ConnectionError:
        # The client has gone, and a write saw it before the handler was cancelled. Nobody reads
        # this; it only keeps aiohttp from taking it for an error of ours.
        return web.Response(status=500)


async def _name_no_software(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop("Server", None)
