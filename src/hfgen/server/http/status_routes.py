"""The routes that report on the server: `/info`, `/v1/models`, `/health`, `/ping`, `/metrics`.

Source: text-generation-inference, `router/src/server.rs` (`get_model_info`,
`openai_get_model_info`, `health`, `metrics`).
"""

from __future__ import annotations

from aiohttp import web

from hfgen._version import __version__
from hfgen.server._options import MAX_CLIENT_BATCH_SIZE
from hfgen.server.http.answers import ErrorResponse, Info, ModelInfo, ModelsInfo
from hfgen.server.http.body import json_response
from hfgen.server.http.inference import SERVICE
from hfgen.server.http.prompt_tokenizer import VALIDATION_WORKERS


async def get_info(request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    limits = service.limits
    return json_response(
        Info(
            model_id=service.name,
            max_concurrent_requests=service.options.max_concurrent_requests,
            max_best_of=limits.max_best_of,
            max_stop_sequences=limits.max_stop_sequences,
            max_input_tokens=limits.max_input_tokens,
            max_total_tokens=limits.max_total_tokens,
            validation_workers=VALIDATION_WORKERS,
            max_client_batch_size=MAX_CLIENT_BATCH_SIZE,
            version=__version__,
        )
    )


async def list_models(request: web.Request) -> web.Response:
    name = request.app[SERVICE].name
    return json_response(ModelsInfo(data=(ModelInfo(id=name, owned_by=name),)))


async def check_health(request: web.Request) -> web.Response:
    if await request.app[SERVICE].inference.check_health():
        return web.Response()
    return json_response(ErrorResponse("unhealthy", "healthcheck"), status=503)


async def get_metrics(request: web.Request) -> web.Response:
    return web.Response(text=request.app[SERVICE].metrics.render())
