"""Turns a request into a job: TGI's checks, in TGI's order and with TGI's messages.

Source: text-generation-inference, `router/src/validation.rs` (`validate`, `validate_input`,
`ValidationError`), and `NextTokenChooser` in `server/text_generation_server/utils/tokens.py` for
which settings make a generation sample.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from hfgen.server._options import Limits
from hfgen.server.engine.jobs import Job, Sampling
from hfgen.server.http.errors import ValidationError
from hfgen.server.http.prompt_tokenizer import PromptTokenizer
from hfgen.server.http.requests import GenerateParameters, GenerateRequest

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# TGI reserves room for at most this many new tokens at first, so it checks only these against the
# context. A request may ask for more; its answer then ends where the context ends.
_RESERVED_TOKENS = 1024

_Check: TypeAlias = Callable[[GenerateRequest, GenerateParameters, Limits], bool]


def _best_of(parameters: GenerateParameters) -> int:
    return 1 if parameters.best_of is None else parameters.best_of


def _is_sampling(p: GenerateParameters) -> bool:
    return p.do_sample or not (p.temperature is p.top_k is p.top_p is p.typical_p is None)


def _is_outside_unit(value: float | None) -> bool:
    return value is not None and not 0 < value < 1


def _is_not_positive(value: float | None) -> bool:
    return value is not None and value <= 0


# Each check with its message, in TGI's order. A check returns True to refuse the request. The
# length of the prompt is checked after this table and before the next.
_CHECKS: tuple[tuple[_Check, str], ...] = (
    (
        lambda _, p, __: _best_of(p) > 1 and not _is_sampling(p),
        "you must use sampling when `best_of` is > 1",
    ),
    (lambda _, p, __: _is_not_positive(p.temperature), "`temperature` must be strictly positive"),
    (
        lambda _, p, __: _is_not_positive(p.repetition_penalty),
        "`repetition_penalty` must be strictly positive",
    ),
    (
        lambda _, p, __: p.frequency_penalty is not None and not -2 <= p.frequency_penalty <= 2,  # noqa: PLR2004 - the message says it
        "`frequency_penalty` must be >= -2.0 and <= 2.0",
    ),
    (lambda _, p, __: _is_outside_unit(p.top_p), "`top_p` must be > 0.0 and < 1.0"),
    (lambda _, p, __: _is_outside_unit(p.typical_p), "`typical_p` must be > 0.0 and < 1.0"),
    (lambda _, p, __: _is_not_positive(p.top_k), "`top_k` must be strictly positive"),
    (lambda _, p, __: p.max_new_tokens == 0, "`max_new_tokens` must be strictly positive"),
    (
        lambda _, p, limits: len(p.stop) > limits.max_stop_sequences,
        "`stop` supports up to {limits.max_stop_sequences} stop sequences. Given: {stops}",
    ),
    # TGI ends the generation after any first token. vLLM refuses it.
    (lambda _, p, __: "" in p.stop, "`stop` cannot contain an empty string"),
    (
        lambda _, p, __: _best_of(p) > 1 and p.seed is not None,
        "`seed` must not be set when `best_of` > 1",
    ),
    (
        lambda _, p, limits: (p.top_n_tokens or 0) > limits.max_top_n_tokens,
        "`top_n_tokens` must be >= 0 and <= {limits.max_top_n_tokens}. Given: {p.top_n_tokens}",
    ),
    (lambda request, _, __: not request.inputs, "`inputs` cannot be empty"),
    (
        lambda _, p, limits: (
            p.truncate is not None and not 0 < p.truncate <= limits.max_input_tokens
        ),
        (
            "`truncate` must be strictly positive and less than {limits.max_input_tokens}."
            " Given: {p.truncate}"
        ),
    ),
)

# Features that this server does not have. The message for `grammar` is that of a TGI without
# grammar support.
_UNSUPPORTED: tuple[tuple[_Check, str], ...] = (
    (lambda _, p, __: p.grammar is not None, "grammar is not supported"),
    (lambda _, p, __: p.watermark, "`watermark` is not supported"),
    (lambda _, p, __: p.adapter_id is not None, "`adapter_id` is not supported"),
    (lambda _, p, __: bool(p.ignore_eos_token), "`ignore_eos_token` is not supported"),
    (
        lambda _, p, __: p.num_return_sequences not in {None, 1},
        "`num_return_sequences` is not supported: `/v1/completions` has `n`",
    ),
)

# The checks that come first for a stream (`generate_stream_internal`).
_STREAM_CHECKS: tuple[tuple[_Check, str], ...] = (
    (
        lambda _, p, __: _best_of(p) != 1,
        "`best_of` != 1 is not supported when streaming tokens",
    ),
    (
        lambda _, p, __: p.decoder_input_details,
        "`decoder_input_details` == true is not supported when streaming tokens",
    ),
)


class Validator:
    """Turns requests into jobs, or refuses them with a `ValidationError`.

    Attributes:
        tokenizer: The tokenizer of the prompts.
    """

    def __init__(self, tokenizer: Tokenizer, limits: Limits) -> None:
        self.tokenizer = PromptTokenizer(tokenizer)
        self._limits = limits

    def check_best_of(self, best_of: int) -> None:
        """Refuse a `best_of` over the limit. TGI checks this before anything else."""
        limit = self._limits.max_best_of
        if limit == 1 and best_of != 1:
            raise ValidationError("`best_of` != 1 is not allowed for this endpoint")
        if best_of > limit:
            raise ValidationError(f"`best_of` must be > 0 and <= {limit}. Given: {best_of}")

    def check_stream(self, request: GenerateRequest) -> None:
        """Refuse parameters that cannot be used in a stream."""
        self._check(_STREAM_CHECKS, request)

    async def validate(self, request: GenerateRequest) -> Job:
        """Return the job for a request. Each call draws a new seed if the request has none.

        Raises:
            ValidationError: The request is invalid, or needs what this server does not support.
        """
        p = request.parameters
        self._check(_CHECKS, request)
        ids = await self.tokenizer.encode(request.inputs)
        if p.truncate is not None:
            ids = ids[-p.truncate :]
        if not ids:  # some tokenizers strip white space, and nothing may be left
            raise ValidationError("`inputs` cannot be empty")
        max_new_tokens = self._limit_new_tokens(len(ids), p.max_new_tokens)
        self._check(_UNSUPPORTED, request)
        return Job(
            input_ids=tuple(ids),
            sampling=_make_sampling(p),
            max_new_tokens=max_new_tokens,
            stop=p.stop,
            top_n_tokens=p.top_n_tokens or 0,
            prefill_logprobs=p.decoder_input_details,
        )

    def _check(self, checks: tuple[tuple[_Check, str], ...], request: GenerateRequest) -> None:
        p, limits = request.parameters, self._limits
        for is_refused, message in checks:
            if is_refused(request, p, limits):
                raise ValidationError(message.format(p=p, limits=limits, stops=len(p.stop)))

    def _limit_new_tokens(self, length: int, max_new_tokens: int | None) -> int:
        """Return how many tokens may be generated after a prompt of `length` tokens."""
        limits = self._limits
        room = max(limits.max_total_tokens - length, 0)
        reserved = min(room if max_new_tokens is None else max_new_tokens, _RESERVED_TOKENS)
        if length + reserved > limits.max_total_tokens:
            raise ValidationError(
                f"`inputs` tokens + `max_new_tokens` must be <= {limits.max_total_tokens}."
                f" Given: {length} `inputs` tokens and {reserved} `max_new_tokens`"
            )
        if length > limits.max_input_tokens:
            raise ValidationError(
                f"`inputs` must have less than {limits.max_input_tokens} tokens. Given: {length}"
            )
        return room if max_new_tokens is None else min(max_new_tokens, room)


def _make_sampling(p: GenerateParameters) -> Sampling:
    temperature = 1.0 if p.temperature is None else p.temperature
    top_k, top_p, typical_p = p.top_k or 0, p.top_p or 1.0, p.typical_p or 1.0
    return Sampling(
        seed=secrets.randbits(64) if p.seed is None else p.seed,
        do_sample=p.do_sample or temperature != 1 or top_k > 0 or top_p < 1 or typical_p < 1,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        typical_p=typical_p,
        repetition_penalty=1.0 if p.repetition_penalty is None else p.repetition_penalty,
        frequency_penalty=p.frequency_penalty or 0.0,
    )
