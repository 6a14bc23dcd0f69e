"""`GenerationRequest`: the requests that callers pass, their checks, and their JSON.

Names and meanings are those of TGI's `GenerateParameters` (its OpenAPI document, 3.3). The last two
parameters are for the transformers pipelines of the Inference Toolkit, and for completions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal, TypeAlias, TypedDict

import msgspec

from hfgen._core.errors import InvalidRequestError


class Grammar(TypedDict):
    """What the generated text must conform to."""

    type: Literal["json", "json_object", "json_schema", "regex"]
    """The kind of grammar."""
    value: Any
    """A JSON schema (with `properties`) as a mapping or a string, or a regular expression."""


class GenerateParameters(TypedDict, total=False):
    """How to generate. A field that is left out, or None, is not sent: the server decides."""

    adapter_id: str | None
    """Id of the LoRA adapter to use."""
    best_of: int | None
    """Generate this many sequences and return the likeliest; needs sampling, excludes `seed` and
    streams. TGI's limit is 2."""
    decoder_input_details: bool | None
    """Also return ids and log-probabilities of the prompt's tokens; not in streams."""
    details: bool | None
    """Return `details`: tokens, finish reason, seed."""
    do_sample: bool | None
    """Draw tokens instead of taking the likeliest. Left out: true if temperature, top_k, top_p or
    typical_p is given, or a `seed` for several sequences; else false. The same on every server."""
    frequency_penalty: float | None
    """Lower a token's logit by this much for each time it has occurred; -2 to 2."""
    grammar: Grammar | None
    """Constrain the text to a JSON schema or a regular expression."""
    max_new_tokens: int | None
    """Generate at most this many tokens. TGI's default: the rest of the context."""
    repetition_penalty: float | None
    """Divide the logits of tokens that have occurred by this; above 0, 1 is neutral."""
    return_full_text: bool | None
    """Put the prompt before the generated text. TGI's route `/` does so by default."""
    seed: int | None
    """Start of the random numbers, 0 to 2**64 - 1: same seed, same text."""
    stop: list[str] | None
    """End the generation when one of these is generated; TGI keeps it in the text, and takes at
    most 4."""
    temperature: float | None
    """Divide the logits by this before drawing; above 0. With 0, no token is drawn, but the
    likeliest is taken."""
    top_k: int | None
    """Draw from this many of the likeliest tokens only; above 0."""
    top_n_tokens: int | None
    """Return this many of the likeliest alternatives of each token; TGI's limit is 5."""
    top_p: float | None
    """Draw from the likeliest tokens that together have this probability; inside (0, 1)."""
    truncate: int | None
    """Keep only this many tokens of the prompt, from its end."""
    typical_p: float | None
    """Draw from the most typical tokens that together have this probability; inside (0, 1)
    (https://arxiv.org/abs/2202.00666)."""
    watermark: bool | None
    """Mark the text as generated (https://arxiv.org/abs/2301.10226)."""

    max_time: float | None
    """Seconds after which to stop generating. Transformers pipelines and llama.cpp only."""
    num_return_sequences: int | None
    """Return this many sequences; not on TGI. They differ if tokens are drawn: see `do_sample`."""


class _Required(TypedDict):
    inputs: str
    """The prompt."""


class GenerationRequest(_Required, total=False):
    """One request for text. A plain string stands for `{"inputs": string}`."""

    model: str | None
    """Id of the model, `owner/name`. Needed where the URL is made from it, as by default."""
    parameters: GenerateParameters | None
    """How to generate."""
    options: dict[str, Any] | None
    """Options of the former hosted Inference API, which servers ignore now; sent as they are."""


RequestLike: TypeAlias = GenerationRequest | Mapping[str, Any] | str
"""What the four verbs take: a `GenerationRequest`, another mapping of its shape, or a prompt."""

_PARAMETERS = frozenset(GenerateParameters.__annotations__)
# These say how a token is drawn. Naming one asks for tokens to be drawn.
_DRAWING = ("temperature", "top_k", "top_p", "typical_p")
_TOP_LEVEL = ("inputs", "model", "options", "parameters")


def normalize_request(request: RequestLike) -> dict[str, Any]:
    """Check a request; return a copy as a dict, without the values that are None.

    Raises:
        InvalidRequestError: The request is no mapping, has an unknown key or a value of a wrong
            type.
    """
    if isinstance(request, str):
        request = {"inputs": request}
    if not isinstance(request, Mapping):
        raise InvalidRequestError(
            f"a request is a mapping with `inputs`, or a string, not {type(request).__name__}"
        )
    for key in request:
        if key not in _TOP_LEVEL:
            raise InvalidRequestError(_describe_unknown_key(key))
    body = _remove_none(request)
    for key in ("parameters", "options"):
        if key in body and isinstance(body[key], Mapping):
            body[key] = _remove_none(body[key])
    if "inputs" not in body:
        raise InvalidRequestError("the request has no `inputs` (the prompt)")
    try:
        body = {key: _to_json_types(value, f"request.{key}") for key, value in body.items()}
    except RecursionError:
        raise InvalidRequestError("the request holds itself, or is nested too deeply") from None
    try:
        msgspec.convert(body, GenerationRequest)
    except msgspec.ValidationError as error:
        # msgspec's messages read: "Expected `int | null`, got `str` - at `$.parameters.seed`".
        problem, _, path = str(error).partition(" - at `$.")
        problem = problem[0].lower() + problem[1:].replace(" | null", "")
        raise InvalidRequestError(f"request.{path.rstrip('`')}: {problem}") from None
    check_model(body.get("model", ""))
    return body


def count_sequences(request: Mapping[str, Any]) -> int:
    """Return how many texts a normalised request asks for.

    It does so by `num_return_sequences`, or by OpenAI's `n`, which is sent as it is.
    """
    parameters = request.get("parameters") or {}
    count = parameters.get("n")
    return count if isinstance(count, int) else parameters.get("num_return_sequences") or 1


def is_sampled(parameters: Mapping[str, Any]) -> bool:
    """Tell whether tokens are drawn; else each is the likeliest one (greedy decoding).

    This rule holds for every server, though servers have rules of their own: each dialect writes
    into its bodies what makes the server follow this one.

    - With a `temperature` of 0, no token is drawn.
    - Else `do_sample` decides, if it is given.
    - Else tokens are drawn if `temperature`, `top_k`, `top_p` or `typical_p` is given, whatever its
      value, or a `seed` for several sequences.
    """
    if parameters.get("temperature") == 0:
        return False
    do_sample: bool | None = parameters.get("do_sample")
    if do_sample is not None:
        return do_sample
    if any(parameters.get(name) is not None for name in _DRAWING):
        return True
    count = max(parameters.get(name) or 1 for name in ("best_of", "n", "num_return_sequences"))
    return count > 1 and parameters.get("seed") is not None


def resolve_sampling(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with a `do_sample` that is what `is_sampled` tells.

    If no token is drawn, what says how tokens are drawn is left out: TGI would draw for it.
    """
    if is_sampled(parameters):
        return {**parameters, "do_sample": True}
    rest = {name: value for name, value in parameters.items() if name not in _DRAWING}
    return {**rest, "do_sample": False}


def check_model(model: str) -> None:
    """Check that the id of a model is Unicode: it may become part of a URL.

    Raises:
        InvalidRequestError: It is not.
    """
    try:
        model.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError(f"`model` is no Unicode: {error}") from None


def encode_json(body: Mapping[str, Any]) -> bytes:
    """Return the body as JSON.

    Raises:
        InvalidRequestError: JSON cannot express one of its values.
    """
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError as error:
        raise InvalidRequestError(f"the request holds text that is no Unicode: {error}") from None
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidRequestError(f"the request cannot be written as JSON: {error}") from None


def _describe_unknown_key(key: object) -> str:
    if key == "stream":
        return "`stream` is chosen by the verb: run, or stream, stream_tokens, stream_bytes"
    if key in _PARAMETERS:
        return f"`{key}` belongs into `parameters`"
    from difflib import get_close_matches  # noqa: PLC0415 - rarely needed

    names = [*_TOP_LEVEL, *_PARAMETERS] if isinstance(key, str) else []
    near = get_close_matches(str(key), names, n=1)
    if not near:
        return f"unknown key {key!r} in the request; it takes {', '.join(_TOP_LEVEL)}"
    place = " (in `parameters`)" if near[0] in _PARAMETERS else ""
    return f"unknown key {key!r} in the request; did you mean {near[0]!r}{place}?"


def _remove_none(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if value is not None}


def _to_json_types(value: Any, path: str) -> Any:
    """Return the value with mappings, sequences, decimals and kinds of strings as JSON's own types.

    Args:
        value: The value.
        path: The place of the value in the request, for messages.
    """
    # Strings first: each prompt is one, and the test for a mapping takes longer.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {key: _to_json_types(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json_types(item, f"{path}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, float | Decimal) and not math.isfinite(number := float(value)):
        raise InvalidRequestError(f"{path} must be a finite number")
    if isinstance(value, Decimal):
        # msgspec would write it as a string.
        return int(value) if value == value.to_integral_value() else number
    return value
