"""`GenerationRequest`: the requests that callers pass, their checks, and their JSON.

Names and meanings are those of TGI's `GenerateParameters` (its OpenAPI document, 3.3). The last two
parameters are for the transformers pipelines of the Inference Toolkit, and for completions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypedDict

import msgspec

from hfgen._core.errors import InvalidRequestError


class Grammar(TypedDict):
    """What the generated text must conform to.

    Attributes:
        type: The kind of grammar.
        value: A JSON schema (with `properties`) as a mapping or a string, or a regular expression.
    """

    type: Literal["json", "json_object", "json_schema", "regex"]
    value: Any


class GenerateParameters(TypedDict, total=False):
    """How to generate. A field that is left out, or None, is not sent: the server decides.

    Attributes:
        adapter_id: Id of the LoRA adapter to use.
        best_of: Generate this many sequences and return the likeliest; needs sampling, excludes
            `seed` and streams. TGI's limit is 2.
        decoder_input_details: Also return ids and log-probabilities of the prompt's tokens; not in
            streams.
        details: Return `details`: tokens, finish reason, seed.
        do_sample: Draw tokens instead of taking the likeliest. Left out: true if temperature,
            top_k, top_p or typical_p is given, or a `seed` for several sequences; else false. The
            same on every server.
        frequency_penalty: Lower a token's logit by this much for each time it has occurred; -2 to
            2.
        grammar: Constrain the text to a JSON schema or a regular expression.
        max_new_tokens: Generate at most this many tokens. TGI's default: the rest of the context.
        repetition_penalty: Divide the logits of tokens that have occurred by this; above 0, 1 is
            neutral.
        return_full_text: Put the prompt before the generated text. TGI's route `/` does so by
            default.
        seed: Start of the random numbers, 0 to 2**64 - 1: same seed, same text.
        stop: End the generation when one of these is generated; TGI keeps it in the text, and takes
            at most 4.
        temperature: Divide the logits by this before drawing; above 0. With 0, no token is drawn,
            but the likeliest is taken.
        top_k: Draw from this many of the likeliest tokens only; above 0.
        top_n_tokens: Return this many of the likeliest alternatives of each token; TGI's limit is
            5.
        top_p: Draw from the likeliest tokens that together have this probability; inside (0, 1).
        truncate: Keep only this many tokens of the prompt, from its end.
        typical_p: Draw from the most typical tokens that together have this probability; inside (0,
            1) (https://arxiv.org/abs/2202.00666).
        watermark: Mark the text as generated (https://arxiv.org/abs/2301.10226).
        max_time: Seconds after which to stop generating. Transformers pipelines and llama.cpp only.
        num_return_sequences: Return this many sequences. Transformers pipelines and completions
            (`n`); not TGI. They differ if tokens are drawn: see `do_sample`.
    """

    adapter_id: str | None
    best_of: int | None
    decoder_input_details: bool | None
    details: bool | None
    do_sample: bool | None
    frequency_penalty: float | None
    grammar: Grammar | None
    max_new_tokens: int | None
    repetition_penalty: float | None
    return_full_text: bool | None
    seed: int | None
    stop: list[str] | None
    temperature: float | None
    top_k: int | None
    top_n_tokens: int | None
    top_p: float | None
    truncate: int | None
    typical_p: float | None
    watermark: bool | None
    max_time: float | None
    num_return_sequences: int | None


class _Required(TypedDict):
    inputs: str


class GenerationRequest(_Required, total=False):
    """One request for text. A plain string stands for `{"inputs": string}`.

    Attributes:
        inputs: The prompt.
        model: Id of the model, `owner/name`. Needed where the URL is made from it, as by default.
        parameters: How to generate.
        options: Options of the former hosted Inference API, which servers ignore now; sent as they
            are.
    """

    model: str | None
    parameters: GenerateParameters | None
    options: dict[str, Any] | None


RequestLike: TypeAlias = GenerationRequest | str
"""What the four verbs take, for type checkers: a prompt, or a `GenerationRequest`. With `Mapping`
as a third, they would accept a literal with a wrong key."""
AnyRequest: TypeAlias = GenerationRequest | Mapping[str, Any] | str
"""What the four verbs take at run time: also another mapping of the shape of a request."""

PARAMETERS = frozenset(GenerateParameters.__annotations__)
# These say how a token is drawn. Naming one asks for tokens to be drawn.
_DRAWING = frozenset({"temperature", "top_k", "top_p", "typical_p"})
# Without any of these, a request is greedy.
_SAMPLING = _DRAWING | {"do_sample", "seed"}
_TOP_LEVEL = ("inputs", "model", "options", "parameters")
# Names that other libraries and servers have for a parameter.
_OTHER_NAMES = {
    "max_completion_tokens": "max_new_tokens",
    "max_length": "max_new_tokens",
    "max_output_tokens": "max_new_tokens",
    "n": "num_return_sequences",
    "stop_sequences": "stop",
}
# How much alike two names are, from 0 to 1, of which one is a slip for the other. `max_tokens` is
# one (0.857); `min_new_tokens` (0.83) and `presence_penalty` are parameters of some servers.
_ALIKE = 0.85


def normalize_request(
    request: AnyRequest,
    defaults: Mapping[str, Any] = MappingProxyType({}),
    overrides: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Check a request; return a copy as a dict, without the values that are None.

    Args:
        request: The request.
        defaults: A model and parameters for what the request leaves out, in the shape of one.
        overrides: The same, in place of what the request has.

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
    if unknown := [key for key in request if key not in _TOP_LEVEL]:
        raise InvalidRequestError(_describe_unknown_key(unknown[0]))
    body = _remove_none(request)
    for key in ("parameters", "options"):
        if key in body and isinstance(body[key], Mapping):
            body[key] = _remove_none(body[key])
    if defaults or overrides:
        body = _merge_requests(defaults, body, overrides)
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
    check_model_text(body.get("model", ""))
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
    if _SAMPLING.isdisjoint(parameters) or parameters.get("temperature") == 0:
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
    if _SAMPLING.isdisjoint(parameters):
        return {**parameters, "do_sample": False}
    if is_sampled(parameters):
        return {**parameters, "do_sample": True}
    if not _DRAWING.isdisjoint(parameters):
        parameters = {name: value for name, value in parameters.items() if name not in _DRAWING}
    return {**parameters, "do_sample": False}


def check_model_text(model: str) -> None:
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


def find_parameter(name: str) -> str | None:
    """Return the parameter that a name is another word or a slip for, None if there is none."""
    from difflib import get_close_matches  # noqa: PLC0415 - rarely needed

    letters = {parameter.replace("_", ""): parameter for parameter in PARAMETERS}
    wanted = name.lower().replace("_", "").replace("-", "")
    near = get_close_matches(wanted, letters, n=1, cutoff=_ALIKE)
    return _OTHER_NAMES.get(name) or (letters[near[0]] if near else None)


def _describe_unknown_key(key: object) -> str:
    if key == "stream":
        return "`stream` is chosen by the verb: run, or stream, stream_tokens, stream_bytes"
    if key in PARAMETERS:
        return f"`{key}` belongs into `parameters`"
    unknown = f"unknown key {key!r} in the request"
    if not isinstance(key, str):
        return f"{unknown}; it takes {', '.join(_TOP_LEVEL)}"
    if parameter := find_parameter(key):
        return f"{unknown}; did you mean {parameter!r} (in `parameters`)?"
    from difflib import get_close_matches  # noqa: PLC0415 - rarely needed

    near = get_close_matches(key, _TOP_LEVEL, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(_TOP_LEVEL)}"
    return f"{unknown}; {hint}"


def _merge_requests(
    defaults: Mapping[str, Any], body: dict[str, Any], overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a request with the fields of all three, and all of their parameters."""
    merged = {**defaults, **body, **overrides}
    if "parameters" not in merged:
        return merged
    own = body.get("parameters", {})
    if isinstance(own, Mapping):
        own = {**defaults.get("parameters", {}), **own, **overrides.get("parameters", {})}
    # If it is no mapping, the check of types reports it.
    return {**merged, "parameters": own}


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
