"""The OpenAI-compatible route, `/v1/completions`, in TGI's dialect of it.

Source: text-generation-inference, `router/src/server.rs` (`completions`). TGI's dialect: stop
strings and special tokens stay in the text of a stream, `finish_reason` is the empty string until
the last chunk and keeps TGI's names there, the last chunk of each choice carries its usage, and
`[DONE]` comes after all prompts, even after errors.

Two fields that TGI ignores do here what they do in vLLM: `logprobs`, and `n`, with which each
choice is a run of its own.
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
    Chunk,
    Completion,
    Logprobs,
    OpenAIError,
    OpenAIErrorBody,
    Usage,
    to_event,
)
from hfgen.server.http.body import EventStream, answer, read_json, refuse
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
    from hfgen.server.http.inference import Run, Session

_COMPLETION = msgspec.json.Decoder(CompletionRequest)


async def completions(request: web.Request) -> web.StreamResponse:
    asked = await read_json(request, _COMPLETION)
    service = request.app[SERVICE]
    # TGI counts the request here, and each of its prompts again where that is generated.
    service.metrics.requests.inc()
    # These come with their status, stream or not: TGI looks at the first two before it answers.
    for error in _refusals(asked):
        service.metrics.failed(error)
        return refuse(error)
    service.metrics.requests.inc(len(asked.prompts) * asked.copies)
    if asked.stream:
        return await _stream(request, service, asked)
    try:
        return await _complete(service, asked)
    except RequestError as error:
        return refuse(error)


def _refusals(asked: CompletionRequest) -> list[RequestError]:
    errors: list[RequestError] = []
    if asked.suffix is not None:
        errors.append(SuffixError())
    if len(asked.prompts) > MAX_CLIENT_BATCH_SIZE:
        errors.append(BatchSizeError(str(MAX_CLIENT_BATCH_SIZE)))
    if asked.copies > 1:
        choices = len(asked.prompts) * asked.copies
        if choices > MAX_CLIENT_BATCH_SIZE:
            errors.append(
                ValidationError(
                    f"`n` times the number of prompts must be <= {MAX_CLIENT_BATCH_SIZE}."
                    f" Given: {choices}"
                )
            )
        if asked.greedy:
            errors.append(ValidationError("you must use sampling when `n` is > 1"))
    return errors


async def _complete(service: Service, asked: CompletionRequest) -> web.Response:
    with service.inference.session() as session:
        runs = [
            await session.start(generation, index=index)
            for index, generation in enumerate(asked.generations())
        ]
        await session.finish()
    timings = [run.timings() for run in runs]
    for each in timings:
        service.metrics.succeeded(each)
    choices = tuple(
        Choice(
            index=run.index,
            text=run.text,
            logprobs=logprobs_of(run, asked.logprobs),
            finish_reason=_openai_reason(run),
        )
        for run in runs
    )
    return answer(
        Completion(
            created=int(time.time()),
            model=service.name,
            system_fingerprint=service.fingerprint,
            choices=choices,
            usage=_usage(runs, copies=asked.copies),
        ),
        headers=completion_headers(asked.prompts, timings),
    )


def _openai_reason(run: Run) -> str:
    # Only one of TGI's reasons takes OpenAI's name, and only outside a stream.
    assert run.finish_reason is not None
    return "stop" if run.finish_reason == "eos_token" else run.finish_reason


def _usage(runs: list[Run], *, copies: int = 1) -> Usage:
    # A prompt counts once, however many choices it has.
    prompt_tokens = sum(len(run.job.input_ids) for run in runs[::copies])
    completion_tokens = sum(len(run.tokens) for run in runs)
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=prompt_tokens + completion_tokens,
    )


async def _stream(
    request: web.Request, service: Service, asked: CompletionRequest
) -> web.StreamResponse:
    stream = EventStream(request, asked.prompts)
    async with stream:
        with service.inference.session(keep_alive=service.options.keep_alive) as session:
            for index, generation in enumerate(asked.generations()):
                try:
                    await session.start(generation, index=index)
                except RequestError as error:  # the other prompts go on
                    await stream.write(_error(error))
            await _write_chunks(service, session, stream, asked.logprobs)
        await stream.write(DONE)
    return stream.response


async def _write_chunks(
    service: Service, session: Session, stream: EventStream, most: int | None
) -> None:
    async for item in session:
        if item is None:
            await stream.write(COMMENT)
            continue
        run, event = item
        if isinstance(event, Failed):
            await stream.write(_error(GenerationError(event.message)))
            continue
        if event.finish_reason is not None:
            service.metrics.succeeded(run.timings())
        await stream.write(to_event(_chunk(service, run, event, most)))


def _error(error: RequestError) -> bytes:
    return to_event(OpenAIError(OpenAIErrorBody(str(error))))


def _chunk(service: Service, run: Run, event: Generated, most: int | None) -> Chunk | Completion:
    choice = Choice(
        index=run.index,
        text=event.token.text,
        logprobs=logprobs_of(run, most, since=len(run.tokens) - 1),
        finish_reason=event.finish_reason or "",
    )
    created = int(time.time())
    if event.finish_reason is None:
        return Chunk(
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
        usage=_usage([run]),
    )


def logprobs_of(run: Run, most: int | None, *, since: int = 0) -> Logprobs | None:
    """Return the log-probabilities of a run's tokens, None where they were not asked for.

    Args:
        run: Whose tokens.
        most: How many of the likeliest tokens to show in the place of each; None: not asked for.
        since: The first token to show.
    """
    if most is None:
        return None
    tokens = run.tokens[since:]
    likeliest = run.top_tokens[since:] or [()] * len(tokens)
    return Logprobs(
        tokens=[token.text for token in tokens],
        token_logprobs=[token.logprob for token in tokens],
        top_logprobs=[
            _by_text(token, top[:most]) for token, top in zip(tokens, likeliest, strict=True)
        ],
        text_offset=run.offsets[since:],
    )


def _by_text(chosen: Token, likeliest: tuple[Token, ...]) -> dict[str, float]:
    """Return log-probabilities by text, the chosen token's under the text that it added.

    By itself a token may read otherwise than in its place, where clients look it up. Of others
    with one text, such as halves of characters, the likeliest is kept.
    """
    logprobs: dict[str, float] = {}
    for token in likeliest:
        text = chosen.text if token.id == chosen.id else token.text
        logprobs.setdefault(text, token.logprob)
    logprobs[chosen.text] = chosen.logprob
    return logprobs
