"""The JSON answers of all routes, as structs with TGI's fields in TGI's order. No I/O.

Source: text-generation-inference, `router/src/lib.rs` (the `Serialize` types). A field is
`UNSET` where TGI leaves it out, and None where TGI writes null.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

# msgspec looks at the annotations at run time, so these imports are needed then.
from hfgen.server.engine.jobs import FinishReason, PrefillToken, Token  # noqa: TC001


class BestOfSequence(msgspec.Struct, frozen=True, kw_only=True):
    generated_text: str
    finish_reason: FinishReason
    generated_tokens: int
    seed: int | None
    prefill: tuple[PrefillToken, ...]
    tokens: list[Token]
    top_tokens: list[tuple[Token, ...]] | UnsetType = UNSET


class Details(msgspec.Struct, frozen=True, kw_only=True):
    finish_reason: FinishReason
    generated_tokens: int
    seed: int | None
    prefill: tuple[PrefillToken, ...]
    tokens: list[Token]
    best_of_sequences: list[BestOfSequence] | UnsetType = UNSET
    top_tokens: list[tuple[Token, ...]] | UnsetType = UNSET


class GenerateResponse(msgspec.Struct, frozen=True, kw_only=True):
    generated_text: str
    details: Details | UnsetType = UNSET


class StreamDetails(msgspec.Struct, frozen=True, kw_only=True):
    finish_reason: FinishReason
    generated_tokens: int
    seed: int | None
    input_length: int


class StreamEvent(msgspec.Struct, frozen=True):
    """One token of a stream. `index` counts from 1; only the last event has the whole text."""

    index: int
    token: Token
    top_tokens: tuple[Token, ...] | UnsetType
    generated_text: str | None
    details: StreamDetails | None


class ErrorResponse(msgspec.Struct, frozen=True):
    error: str
    error_type: str


class OpenAIErrorBody(msgspec.Struct, frozen=True):
    message: str
    http_status_code: int = 422  # whatever the error, as in TGI


class OpenAIError(msgspec.Struct, frozen=True):
    error: OpenAIErrorBody


class SimpleToken(msgspec.Struct, frozen=True):
    """A token of `/tokenize`. `start` and `stop` are offsets in the UTF-8 bytes of the text."""

    id: int
    text: str
    start: int
    stop: int


class Logprobs(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of a choice or of one chunk, in the shape of OpenAI's older API and of vLLM.

    Attributes:
        tokens: The text of each token; it is empty while a character is incomplete.
        token_logprobs: The log-probability of each token.
        top_logprobs: For each position, the log-probabilities of the most likely tokens and of the
            chosen one, by text.
        text_offset: Where each token begins in the generated text, in characters.
    """

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    index: int
    text: str
    logprobs: Logprobs | None = None
    finish_reason: str


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CompletionChunk(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="object", tag="text_completion"
):
    id: str = ""
    created: int
    choices: tuple[Choice, ...]
    model: str
    system_fingerprint: str


class Completion(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="object", tag="text_completion"
):
    """A whole completion. In a stream, the last chunk of each choice."""

    id: str = ""
    created: int
    model: str
    system_fingerprint: str
    choices: tuple[Choice, ...]
    usage: Usage


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str


class ModelsInfo(msgspec.Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: tuple[ModelInfo, ...]


class Info(msgspec.Struct, frozen=True, kw_only=True):
    model_id: str
    model_sha: str | None = None
    model_pipeline_tag: str | None = "text-generation"
    max_concurrent_requests: int
    max_best_of: int
    max_stop_sequences: int
    max_input_tokens: int
    max_total_tokens: int
    validation_workers: int
    max_client_batch_size: int
    # Clients recognise this server by its name here. TGI's is "text-generation-router".
    router: str = "hfgen"
    version: str
    sha: str | None = None
    docker_label: str | None = None


_encode = msgspec.json.Encoder().encode

DONE = b"data: [DONE]\n\n"
# An empty comment, which axum sends to keep a connection alive.
COMMENT = b":\n\n"


def to_json(answer: Any) -> bytes:
    return _encode(answer)


def to_event(answer: Any) -> bytes:
    """Encode an answer as a server-sent event: one `data: ` line, as in axum since 0.7."""
    return b"data: %b\n\n" % _encode(answer)
