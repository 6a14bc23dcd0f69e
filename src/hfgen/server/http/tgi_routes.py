"""TGI's own routes: `/`, `/generate`, `/generate_stream`, `/tokenize`.

Source: text-generation-inference, `router/src/server.rs` (`compat_generate`, `generate_internal`,
`generate_stream_internal`, `tokenize`, `encoding_to_tokens`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from hfgen.server.engine.jobs import Failed
from hfgen.server.http.answers import (
    COMMENT,
    BestOfSequence,
    Details,
    ErrorResponse,
    GenerateResponse,
    StreamDetails,
    StreamEvent,
    to_event,
)
from hfgen.server.http.body import EventStream, error_response, json_response, read_json
from hfgen.server.http.errors import GenerationError, OverloadedError, RequestError, ValidationError
from hfgen.server.http.inference import SERVICE, Service
from hfgen.server.http.metrics import generation_headers
from hfgen.server.http.requests import GenerateRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from hfgen.server.engine.jobs import Generated
    from hfgen.server.http.generation import Generation

_GENERATE = msgspec.json.Decoder(GenerateRequest)


async def generate(request: web.Request) -> web.StreamResponse:
    payload = await read_json(request, _GENERATE)
    if payload.stream:
        return _refuse("`stream` is not supported here: post to `/generate_stream`, or to `/`")
    try:
        generation, headers = await _generate(request.app[SERVICE], payload)
    except RequestError as error:
        return error_response(error)
    return json_response(generation, headers=headers)


async def generate_stream(request: web.Request) -> web.StreamResponse:
    payload = await read_json(request, _GENERATE)
    if payload.stream is False:
        return _refuse("`stream` is always true here: post to `/generate`, or to `/`")
    return await _stream(request, payload)


async def compat_generate(request: web.Request) -> web.StreamResponse:
    payload = await read_json(request, _GENERATE)
    # The route `/` echoes the prompt by default, as the Hub's text-generation API does.
    if payload.parameters.return_full_text is None:
        parameters = msgspec.structs.replace(payload.parameters, return_full_text=True)
        payload = msgspec.structs.replace(payload, parameters=parameters)
    if payload.stream:
        return await _stream(request, payload)
    try:
        generation, headers = await _generate(request.app[SERVICE], payload)
    except RequestError as error:
        return error_response(error)
    return json_response([generation], headers=headers)


async def tokenize(request: web.Request) -> web.StreamResponse:
    """Tokenize a prompt. The parameters of a generation are accepted, as they change no token."""
    payload = await read_json(request, _GENERATE)
    if payload.parameters.truncate is not None:
        return _refuse("`truncate` is not supported by `/tokenize`")
    service = request.app[SERVICE]
    try:
        with service.inference.open_group() as group:
            group.take_permit()
            return json_response(await service.validator.tokenizer.tokenize(payload.inputs))
    except OverloadedError as error:
        return error_response(error)


def _refuse(detail: str) -> web.StreamResponse:
    return error_response(ValidationError(detail))


async def _generate(
    service: Service, payload: GenerateRequest
) -> tuple[GenerateResponse, Mapping[str, str]]:
    service.metrics.requests.inc()
    parameters = payload.parameters
    copies = parameters.best_of or 1
    if copies > 1:
        try:
            service.validator.check_best_of(copies)
        except RequestError as error:
            service.metrics.count_failure(error)
            raise
    with service.inference.open_group() as group:
        generations = [await group.start(payload, index=copy) for copy in range(copies)]
        await group.wait_for_end()
    best = max(generations, key=lambda generation: generation.mean_logprob)
    timings = best.timings()
    service.metrics.count_success(timings)
    prompt = payload.inputs if parameters.return_full_text else ""
    details: Details | None = None
    if parameters.details or parameters.decoder_input_details:
        others = [
            _make_best_of_sequence(generation, prompt)
            for generation in generations
            if generation is not best
        ]
        details = _make_details(best, others if copies > 1 else None)
    return (
        GenerateResponse(generated_text=prompt + best.text, details=details or UNSET),
        generation_headers(payload.inputs, timings),
    )


def _make_best_of_sequence(generation: Generation, prompt: str) -> BestOfSequence:
    assert generation.finish_reason is not None
    return BestOfSequence(
        generated_text=prompt + generation.text,
        finish_reason=generation.finish_reason,
        generated_tokens=len(generation.tokens),
        seed=generation.seed,
        prefill=generation.prefill,
        tokens=generation.tokens,
        top_tokens=generation.top_tokens or UNSET,
    )


def _make_details(generation: Generation, others: list[BestOfSequence] | None) -> Details:
    assert generation.finish_reason is not None
    return Details(
        finish_reason=generation.finish_reason,
        generated_tokens=len(generation.tokens),
        seed=generation.seed,
        prefill=generation.prefill,
        tokens=generation.tokens,
        best_of_sequences=UNSET if others is None else others,
        top_tokens=generation.top_tokens or UNSET,
    )


async def _stream(request: web.Request, payload: GenerateRequest) -> web.StreamResponse:
    service = request.app[SERVICE]
    service.metrics.requests.inc()
    stream = EventStream(request, [payload.inputs])
    async with stream:
        try:
            await _write_tokens(service, payload, stream)
        except RequestError as error:
            await stream.write_error(error, ErrorResponse(str(error), error.error_type))
    return stream.response


async def _write_tokens(service: Service, payload: GenerateRequest, stream: EventStream) -> None:
    try:
        service.validator.check_stream(payload)
    except RequestError as error:
        service.metrics.count_failure(error)
        raise
    with service.inference.open_group(keep_alive=service.options.keep_alive) as group:
        await group.start(payload)
        async for item in group:
            if item is None:
                await stream.write(COMMENT)
                continue
            generation, event = item
            if isinstance(event, Failed):
                raise GenerationError(event.message)
            if event.finish_reason is not None:
                service.metrics.count_success(generation.timings())
            await stream.write(to_event(_make_stream_event(payload, generation, event)))


def _make_stream_event(
    payload: GenerateRequest, generation: Generation, event: Generated
) -> StreamEvent:
    top_tokens = event.top_tokens or UNSET
    if event.finish_reason is None:
        return StreamEvent(len(generation.tokens), event.token, top_tokens, None, None)
    parameters = payload.parameters
    details = StreamDetails(
        finish_reason=event.finish_reason,
        generated_tokens=len(generation.tokens),
        seed=generation.seed,
        input_length=len(generation.job.input_ids),
    )
    return StreamEvent(
        index=len(generation.tokens),
        token=event.token,
        top_tokens=top_tokens,
        generated_text=(payload.inputs if parameters.return_full_text else "") + generation.text,
        details=details if parameters.details else None,
    )
