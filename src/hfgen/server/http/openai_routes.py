"""The OpenAI-compatible route `/v1/completions`, with TGI's differences from OpenAI's API.

Source: text-generation-inference, `router/src/server.rs` (`completions`). The
differences: stop strings and special tokens stay in the text of a stream; `finish_reason` is the
empty string until the last chunk and has TGI's names there; the last chunk of each choice has its
usage; and `[DONE]` comes after all prompts, even after errors.

TGI ignores `logprobs` and `n`. Here they work as in vLLM: each of the `n` choices is a generation
of its own, and log-probabilities have the shape of OpenAI's older API (vLLM,
`vllm/entrypoints/openai/`, `CompletionLogProbs`). TGI also ignores `echo`, `best_of` and others.
Here a request that asks for something with them is refused.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from hfgen.server._options import MAX_CLIENT_BATCH_SIZE
from hfgen.server.engine.jobs import Failed
from hfgen.server.http.answers import (
    COMMENT,
    DONE,
    Choice,
    Completion,
    CompletionChunk,
    Logprobs,
    OpenAIError,
    OpenAIErrorBody,
    Usage,
    to_event,
)
from hfgen.server.http.body import EventStream, error_response, json_response, read_json
from hfgen.server.http.errors import (
    BatchSizeError,
    GenerationError,
    RequestError,
    SuffixError,
    ValidationError,
)
from hfgen.server.http.inference import SERVICE, Service
from hfgen.server.http.metrics import completion_headers
from hfgen.server.http.requests import CompletionRequest

if TYPE_CHECKING:
    from aiohttp import web

    from hfgen.server.engine.jobs import Generated, Token
    from hfgen.server.http.generation import Generation
    from hfgen.server.http.inference import GenerationGroup

_COMPLETION = msgspec.json.Decoder(CompletionRequest)


async def create_completion(request: web.Request) -> web.StreamResponse:
    payload = await read_json(request, _COMPLETION)
    service = request.app[SERVICE]
    # TGI counts the request here, and each of its prompts again where that is generated.
    service.metrics.requests.inc()
    # These errors have their own HTTP status even if a stream was requested: TGI checks the first
    # two before it begins to answer.
    for error in _find_errors(payload):
        service.metrics.count_failure(error)
        return error_response(error)
    service.metrics.requests.inc(len(payload.prompts) * payload.choices_per_prompt)
    if payload.stream:
        return await _stream(request, service, payload)
    try:
        return await _complete(service, payload)
    except RequestError as error:
        return error_response(error)


def _find_errors(payload: CompletionRequest) -> list[RequestError]:
    errors: list[RequestError] = []
    if payload.suffix is not None:
        errors.append(SuffixError())
    if len(payload.prompts) > MAX_CLIENT_BATCH_SIZE:
        errors.append(BatchSizeError(str(MAX_CLIENT_BATCH_SIZE)))
    if payload.choices_per_prompt > 1:
        choices = len(payload.prompts) * payload.choices_per_prompt
        if choices > MAX_CLIENT_BATCH_SIZE:
            errors.append(
                ValidationError(
                    f"`n` times the number of prompts must be <= {MAX_CLIENT_BATCH_SIZE}."
                    f" Given: {choices}"
                )
            )
        if payload.is_greedy:
            errors.append(ValidationError("you must use sampling when `n` is > 1"))
    errors += [ValidationError(f"`{name}` is not supported") for name in payload.unsupported_fields]
    return errors


async def _complete(service: Service, payload: CompletionRequest) -> web.Response:
    with service.inference.open_group() as group:
        generations = [
            await group.start(generation, index=index)
            for index, generation in enumerate(payload.to_generate_requests())
        ]
        await group.wait_for_end()
    timings = [generation.timings() for generation in generations]
    for generation_timings in timings:
        service.metrics.count_success(generation_timings)
    choices = tuple(
        Choice(
            index=generation.index,
            text=generation.text,
            logprobs=_make_logprobs(generation, payload.logprobs),
            finish_reason=_openai_finish_reason(generation),
        )
        for generation in generations
    )
    return json_response(
        Completion(
            created=int(time.time()),
            model=service.name,
            system_fingerprint=service.fingerprint,
            choices=choices,
            usage=_count_usage(generations, copies=payload.choices_per_prompt),
        ),
        headers=completion_headers(payload.prompts, timings),
    )


def _openai_finish_reason(generation: Generation) -> str:
    # Outside a stream, TGI gives only "eos_token" OpenAI's name.
    assert generation.finish_reason is not None
    return "stop" if generation.finish_reason == "eos_token" else generation.finish_reason


def _count_usage(generations: list[Generation], *, copies: int = 1) -> Usage:
    # Each prompt counts once, however many choices it has.
    prompt_tokens = sum(len(generation.job.input_ids) for generation in generations[::copies])
    completion_tokens = sum(len(generation.tokens) for generation in generations)
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=prompt_tokens + completion_tokens,
    )


async def _stream(
    request: web.Request, service: Service, payload: CompletionRequest
) -> web.StreamResponse:
    stream = EventStream(request, payload.prompts)
    async with stream:
        with service.inference.open_group(keep_alive=service.options.keep_alive) as group:
            for index, generation in enumerate(payload.to_generate_requests()):
                try:
                    await group.start(generation, index=index)
                except RequestError as error:  # the other prompts go on
                    await _write_error(stream, error)
            await _write_chunks(service, group, stream, payload.logprobs)
        await stream.write(DONE)
    return stream.response


async def _write_chunks(
    service: Service, group: GenerationGroup, stream: EventStream, top_count: int | None
) -> None:
    async for item in group:
        if item is None:
            await stream.write(COMMENT)
            continue
        generation, event = item
        if isinstance(event, Failed):
            await _write_error(stream, GenerationError(event.message))
            continue
        if event.finish_reason is not None:
            service.metrics.count_success(generation.timings())
        await stream.write(to_event(_make_chunk(service, generation, event, top_count)))


async def _write_error(stream: EventStream, error: RequestError) -> None:
    await stream.write_error(error, OpenAIError(OpenAIErrorBody(str(error))))


def _make_chunk(
    service: Service, generation: Generation, event: Generated, top_count: int | None
) -> CompletionChunk | Completion:
    choice = Choice(
        index=generation.index,
        text=event.token.text,
        logprobs=_make_logprobs(generation, top_count, since=len(generation.tokens) - 1),
        finish_reason=event.finish_reason or "",
    )
    created = int(time.time())
    if event.finish_reason is None:
        return CompletionChunk(
            created=created,
            choices=(choice,),
            model=service.name,
            system_fingerprint=service.fingerprint,
        )
    return Completion(
        created=created,
        model=service.name,
        system_fingerprint=service.fingerprint,
        choices=(choice,),
        usage=_count_usage([generation]),
    )


def _make_logprobs(
    generation: Generation, top_count: int | None, *, since: int = 0
) -> Logprobs | None:
    """Return the log-probabilities of a generation's tokens, or None if they were not requested.

    Args:
        generation: The generation that has the tokens.
        top_count: How many of the most likely tokens to show for each position; None: the
            request has no `logprobs`.
        since: The index of the first token to show.
    """
    if top_count is None:
        return None
    tokens = generation.tokens[since:]
    likeliest = generation.top_tokens[since:] or [()] * len(tokens)
    return Logprobs(
        tokens=[token.text for token in tokens],
        token_logprobs=[token.logprob for token in tokens],
        top_logprobs=[
            _logprobs_by_text(token, top[:top_count])
            for token, top in zip(tokens, likeliest, strict=True)
        ],
        text_offset=generation.offsets[since:],
    )


def _logprobs_by_text(chosen: Token, likeliest: tuple[Token, ...]) -> dict[str, float]:
    """Return log-probabilities by text; the chosen token is under the text that it added.

    Clients look the chosen token up by that text, which may differ from the token's text alone. Of
    other tokens with the same text, such as halves of characters, the most likely one is kept.
    """
    logprobs: dict[str, float] = {}
    for token in likeliest:
        text = chosen.text if token.id == chosen.id else token.text
        logprobs.setdefault(text, token.logprob)
    logprobs[chosen.text] = chosen.logprob
    return logprobs
