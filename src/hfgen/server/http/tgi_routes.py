"""TGI's own routes: `/`, `/generate`, `/generate_stream`, `/tokenize`.

Source: text-generation-inference, `router/src/server.rs` (`compat_generate`, `generate_internal`,
`generate_stream_internal`, `tokenize`, `encoding_to_tokens`).
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from hfgen.server.engine.jobs import Failed
from hfgen.server.http.answers import (
    COMMENT,
    BestOfSequence,
    Details,
    Error,
    Generation,
    SimpleToken,
    StreamDetails,
    StreamEvent,
    to_event,
)
from hfgen.server.http.body import EventStream, answer, read_json, refuse
from hfgen.server.http.errors import GenerationError, RequestError
from hfgen.server.http.inference import SERVICE, Service
from hfgen.server.http.metrics import generation_headers
from hfgen.server.http.requests import CompatGenerateRequest, GenerateRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp import web
    from tokenizers import Encoding

    from hfgen.server.engine.jobs import Generated
    from hfgen.server.http.inference import Run

_GENERATE = msgspec.json.Decoder(GenerateRequest)
_COMPAT = msgspec.json.Decoder(CompatGenerateRequest)


async def generate(request: web.Request) -> web.StreamResponse:
    asked = await read_json(request, _GENERATE)
    try:
        generation, headers = await _generate(request.app[SERVICE], asked)
    except RequestError as error:
        return refuse(error)
    return answer(generation, headers=headers)


async def generate_stream(request: web.Request) -> web.StreamResponse:
    return await _stream(request, await read_json(request, _GENERATE))


async def compat_generate(request: web.Request) -> web.StreamResponse:
    asked = await read_json(request, _COMPAT)
    # The prompt is echoed here unless told otherwise, as for any model of text generation.
    if asked.parameters.return_full_text is None:
        parameters = msgspec.structs.replace(asked.parameters, return_full_text=True)
        asked = msgspec.structs.replace(asked, parameters=parameters)
    if asked.stream:
        return await _stream(request, asked)
    try:
        generation, headers = await _generate(request.app[SERVICE], asked)
    except RequestError as error:
        return refuse(error)
    return answer([generation], headers=headers)


async def tokenize(request: web.Request) -> web.StreamResponse:
    asked = await read_json(request, _GENERATE)
    encoding = await request.app[SERVICE].validator.encode(asked.inputs)
    return answer(_simple_tokens(encoding, asked.inputs))


async def _generate(
    service: Service, asked: GenerateRequest
) -> tuple[Generation, Mapping[str, str]]:
    service.metrics.requests.inc()
    parameters = asked.parameters
    copies = parameters.best_of or 1
    if copies > 1:
        try:
            service.validator.check_best_of(copies)
        except RequestError as error:
            service.metrics.failed(error)
            raise
    with service.inference.session() as session:
        runs = [await session.start(asked, index=copy) for copy in range(copies)]
        await session.finish()
    best = max(runs, key=lambda run: run.mean_logprob)
    timings = best.timings()
    service.metrics.succeeded(timings)
    prompt = asked.inputs if parameters.return_full_text else ""
    details: Details | None = None
    if parameters.details or parameters.decoder_input_details:
        others = [_sequence(run, prompt) for run in runs if run is not best]
        details = _details(best, others if copies > 1 else None)
    return (
        Generation(generated_text=prompt + best.text, details=details or UNSET),
        generation_headers(asked.inputs, timings),
    )


def _sequence(run: Run, prompt: str) -> BestOfSequence:
    assert run.finish_reason is not None
    return BestOfSequence(
        generated_text=prompt + run.text,
        finish_reason=run.finish_reason,
        generated_tokens=len(run.tokens),
        seed=run.seed,
        prefill=run.prefill,
        tokens=run.tokens,
        top_tokens=run.top_tokens or UNSET,
    )


def _details(run: Run, others: list[BestOfSequence] | None) -> Details:
    assert run.finish_reason is not None
    return Details(
        finish_reason=run.finish_reason,
        generated_tokens=len(run.tokens),
        seed=run.seed,
        prefill=run.prefill,
        tokens=run.tokens,
        best_of_sequences=UNSET if others is None else others,
        top_tokens=run.top_tokens or UNSET,
    )


async def _stream(request: web.Request, asked: GenerateRequest) -> web.StreamResponse:
    service = request.app[SERVICE]
    service.metrics.requests.inc()
    stream = EventStream(request, [asked.inputs])
    async with stream:
        try:
            await _write_tokens(service, asked, stream)
        except RequestError as error:
            # Whatever it is, it comes in the stream, and the status was 200.
            await stream.write(to_event(Error(str(error), error.error_type)))
    return stream.response


async def _write_tokens(service: Service, asked: GenerateRequest, stream: EventStream) -> None:
    try:
        service.validator.check_stream(asked)
    except RequestError as error:
        service.metrics.failed(error)
        raise
    with service.inference.session(keep_alive=service.options.keep_alive) as session:
        await session.start(asked)
        async for item in session:
            if item is None:
                await stream.write(COMMENT)
                continue
            run, event = item
            if isinstance(event, Failed):
                raise GenerationError(event.message)
            if event.finish_reason is not None:
                service.metrics.succeeded(run.timings())
            await stream.write(to_event(_stream_event(asked, run, event)))


def _stream_event(asked: GenerateRequest, run: Run, event: Generated) -> StreamEvent:
    top_tokens = event.top_tokens or UNSET
    if event.finish_reason is None:
        return StreamEvent(len(run.tokens), event.token, top_tokens, None, None)
    parameters = asked.parameters
    details = StreamDetails(
        finish_reason=event.finish_reason,
        generated_tokens=len(run.tokens),
        seed=run.seed,
        input_length=len(run.job.input_ids),
    )
    return StreamEvent(
        index=len(run.tokens),
        token=event.token,
        top_tokens=top_tokens,
        generated_text=(asked.inputs if parameters.return_full_text else "") + run.text,
        details=details if parameters.details else None,
    )


def _simple_tokens(encoding: Encoding, text: str) -> list[SimpleToken]:
    # The tokenizer's offsets count characters in Python and bytes in Rust, as in TGI's answer.
    at: Sequence[int] = range(len(text) + 1)
    if not text.isascii():
        at = list(accumulate((len(char.encode()) for char in text), initial=0))
    return [
        SimpleToken(token_id, text[start:stop], at[start], at[stop])
        for token_id, (start, stop) in zip(encoding.ids, encoding.offsets, strict=True)
    ]
