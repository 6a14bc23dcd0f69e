"""`make_body`: a request in TGI's terms as the body of an OpenAI-compatible completion. No I/O.

Sources: vLLM `vllm/entrypoints/openai/completion/protocol.py`; SGLang
`python/sglang/srt/entrypoints/openai/protocol.py`; llama.cpp `tools/server/README.md`; TGI
`router/src/lib.rs`; Ollama `openai/openai.go`; transformers `src/transformers/cli/serving/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from hfgen._core.dialects.server_kind import NOT_IN_TGI, unsupported_parameter_error
from hfgen._core.errors import InvalidRequestError
from hfgen._core.request import encode_json, resolve_sampling

if TYPE_CHECKING:
    from collections.abc import Callable

    from hfgen._core.dialects.server_kind import Kind, Server


# Parameters with the same name and meaning in both.
_SAME = ("frequency_penalty", "seed", "top_p")
# Parameters that are not copied into the body: it has them under other names, or servers do what
# they ask for anyway.
_TRANSLATED = frozenset(
    {
        *_SAME,
        "adapter_id",
        "best_of",
        "decoder_input_details",
        "details",
        "do_sample",
        "grammar",
        "max_new_tokens",
        "max_time",
        "num_return_sequences",
        "repetition_penalty",
        # hfgen puts the prompt before the text itself. With `echo`, it could not tell the echo
        # from a generated text that repeats the prompt.
        "return_full_text",
        "stop",
        "temperature",
        "top_k",
        "top_n_tokens",
        "truncate",
        "typical_p",
        "watermark",
    }
)
# These servers ignore some fields in silence, so hfgen refuses the parameters.
_WITHOUT_TOP_K: tuple[Kind, ...] = ("tgi", "ollama")
_WITHOUT_REPETITION_PENALTY: tuple[Kind, ...] = ("ollama",)
_WITHOUT_N: tuple[Kind, ...] = ("tgi", "ollama", "transformers")
_WITHOUT_LOGPROBS: tuple[Kind, ...] = ("ollama", "transformers")
# What `transformers serve` takes in its field `generation_config` only. Without that, the
# generation config of the model decides whether tokens are drawn, at any temperature but 0.
_IN_GENERATION_CONFIG = ("do_sample", "repetition_penalty", "top_k", "typical_p")
# The `max_tokens` that stands for "the rest of the context", TGI's default. None is JSON's null.
_NO_LIMIT: dict[Kind | None, int | None] = {"tgi": None, "llama.cpp": -1}
# For servers without such a value: the default that TGI's OpenAPI document names.
_LIMIT = 1024
_SGLANG_BASE = "default"


def make_body(request: Mapping[str, Any], server: Server, *, stream: bool) -> dict[str, Any]:
    """Return the body as a dict.

    Raises:
        InvalidRequestError: The server is not known to take a parameter of the request.
    """
    parameters = resolve_sampling(request.get("parameters") or {})
    prompt = request.get("inputs", "")
    body: dict[str, Any] = {"prompt": prompt}
    if (model := _choose_model(request, parameters, server)) is not None:
        body["model"] = model
    body["max_tokens"] = _choose_limit(parameters, server)
    body["temperature"] = _choose_temperature(parameters)
    body |= {name: parameters[name] for name in _SAME if parameters.get(name) is not None}
    has_config = server.kind == "transformers"
    for name, translate in _TRANSLATIONS.items():
        if parameters.get(name) is not None and not (has_config and name in _IN_GENERATION_CONFIG):
            body |= translate(parameters[name], server.kind)
    if has_config:
        body |= _make_generation_config(parameters)
    body |= _translate_details(parameters, server.kind)
    body |= {k: v for k, v in parameters.items() if k not in _TRANSLATED and v is not None}
    body |= {"prompt": prompt, "stream": stream}
    # vLLM refuses `stream_options` in a request without a stream.
    return body | {"stream_options": {"include_usage": True}} if stream else body


def _choose_model(
    request: Mapping[str, Any], parameters: Mapping[str, Any], server: Server
) -> str | None:
    model: str | None = request.get("model")
    if server.kind == "tgi":
        # TGI would take the name of its own model for the id of an adapter.
        model = None if model in server.models else model
    elif model is None and len(server.models) == 1:
        model = server.models[0]
    adapter: str | None = parameters.get("adapter_id")
    if adapter is None:
        return model
    if server.kind == "sglang":
        return f"{model or _SGLANG_BASE}:{adapter}"
    if server.kind in {"vllm", "tgi"}:
        return adapter
    remedy = "leave it out, or pass the name under which the server has the adapter as `model`"
    raise unsupported_parameter_error("adapter_id", server.kind, remedy)


def _choose_limit(parameters: Mapping[str, Any], server: Server) -> int | None:
    limit: int | None = parameters.get("max_new_tokens")
    if limit is not None:
        return limit
    if server.kind == "vllm" and server.context is not None:
        # vLLM reduces this to what the prompt leaves. With null, vLLM fails or, from mid-2026 on,
        # generates 16 tokens (its pull requests 44721 and 45491).
        return server.context
    return _NO_LIMIT.get(server.kind, _LIMIT)


def _choose_temperature(parameters: Mapping[str, Any]) -> float:
    # Without it, servers draw tokens. With 0, they take the likeliest.
    return parameters.get("temperature", 1.0) if parameters["do_sample"] else 0.0


def _make_generation_config(parameters: Mapping[str, Any]) -> dict[str, Any]:
    values = {
        name: parameters[name] for name in _IN_GENERATION_CONFIG if parameters.get(name) is not None
    }
    # A temperature of 0 says it already.
    if values == {"do_sample": False}:
        return {}
    return {"generation_config": encode_json(values).decode()}


def _translate_details(parameters: Mapping[str, Any], kind: Kind | None) -> dict[str, Any]:
    """Return the fields that ask for tokens: most servers list them with log-probabilities only."""
    if kind in _WITHOUT_LOGPROBS and parameters.get("top_n_tokens"):
        raise unsupported_parameter_error(
            "top_n_tokens", kind, "leave it out; the server reports no log-probabilities"
        )
    top = parameters.get("top_n_tokens") or (1 if parameters.get("details") else 0)
    if not top:
        return {}
    return {"logprobs": top} | ({"return_token_ids": True} if kind in {"vllm", "sglang"} else {})


def _translate_stop(stop: list[str], kind: Kind | None) -> dict[str, Any]:
    if not stop:
        return {}
    # In TGI the text keeps the stop string, so ask these servers to keep it too.
    keeps: dict[Kind | None, dict[str, Any]] = {
        "vllm": {"include_stop_str_in_output": True},
        "sglang": {"no_stop_trim": True},
    }
    return {"stop": stop} | keeps.get(kind, {})


def _translate_top_k(top_k: int, kind: Kind | None) -> dict[str, Any]:
    if kind in _WITHOUT_TOP_K:
        raise unsupported_parameter_error("top_k", kind, "leave it out, or use `top_p`")
    return {"top_k": top_k}


def _translate_typical_p(typical_p: float, kind: Kind | None) -> dict[str, Any]:
    if kind != "llama.cpp":
        raise unsupported_parameter_error("typical_p", kind, "leave it out, or use `top_p`")
    return {"typical_p": typical_p}


def _translate_repetition_penalty(penalty: float, kind: Kind | None) -> dict[str, Any]:
    if kind in _WITHOUT_REPETITION_PENALTY:
        raise unsupported_parameter_error(
            "repetition_penalty", kind, "leave it out, or use `frequency_penalty`"
        )
    return {"repeat_penalty" if kind == "llama.cpp" else "repetition_penalty": penalty}


def _translate_truncate(truncate: int, kind: Kind | None) -> dict[str, Any]:
    if kind != "vllm":
        raise unsupported_parameter_error(
            "truncate", kind, "cut the prompt to length before it is sent"
        )
    # TGI keeps the end of a prompt. Older versions of vLLM ignore `truncation_side`.
    return {"truncate_prompt_tokens": truncate, "truncation_side": "left"}


def _translate_n(count: int, kind: Kind | None) -> dict[str, Any]:
    if count == 1:
        return {}
    if kind in _WITHOUT_N:
        name = "num_return_sequences"
        raise unsupported_parameter_error(name, kind, NOT_IN_TGI[name])
    return {"n": count}


def _translate_best_of(count: int, kind: Kind | None) -> dict[str, Any]:
    if count == 1:
        return {}
    if kind not in {None, "provider"}:
        raise unsupported_parameter_error(
            "best_of", kind, "leave it out, or use `num_return_sequences` and choose"
        )
    return {"best_of": count}


def _translate_max_time(seconds: float, kind: Kind | None) -> dict[str, Any]:
    if kind != "llama.cpp":
        raise unsupported_parameter_error("max_time", kind, NOT_IN_TGI["max_time"])
    return {"t_max_predict_ms": round(seconds * 1000)}


def _make_refusal(name: str, remedy: str) -> Callable[[Any, Kind | None], dict[str, Any]]:
    def translate(value: Any, kind: Kind | None) -> dict[str, Any]:
        if value:
            raise unsupported_parameter_error(name, kind, remedy)
        return {}

    return translate


_SCHEMAS = frozenset({"json", "json_object", "json_schema"})

_BY_SCHEMA: dict[Kind | None, Callable[[Any], dict[str, Any]]] = {
    "vllm": lambda schema: {"structured_outputs": {"json": schema}},
    # SGLang takes the schema as a string, the others as an object.
    "sglang": lambda schema: {"json_schema": encode_json(schema).decode()},
    "llama.cpp": lambda schema: {"json_schema": schema},
}
_BY_REGEX: dict[Kind | None, Callable[[str], dict[str, Any]]] = {
    "vllm": lambda regex: {"structured_outputs": {"regex": regex}},
    "sglang": lambda regex: {"regex": regex},
}


def _translate_grammar(grammar: Mapping[str, Any], kind: Kind | None) -> dict[str, Any]:
    name, value = grammar.get("type"), grammar.get("value")
    if name == "regex":
        if not isinstance(value, str):
            raise InvalidRequestError("request.parameters.grammar.value: a regex is a string")
        if kind not in _BY_REGEX:
            other = "use a JSON schema, or " if kind in _BY_SCHEMA else ""
            raise unsupported_parameter_error(
                "grammar", kind, f"{other}leave it out and say it in the prompt"
            )
        return _BY_REGEX[kind](value)
    if name not in _SCHEMAS:
        raise InvalidRequestError(f"request.parameters.grammar.type: there is none named {name!r}")
    if kind not in _BY_SCHEMA:
        raise unsupported_parameter_error("grammar", kind, "leave it out and say it in the prompt")
    return _BY_SCHEMA[kind](_read_schema(name, value))


def _read_schema(name: str, value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            raise InvalidRequestError(
                f"request.parameters.grammar.value: the schema is no JSON: {error}"
            ) from None
    # For this type, TGI takes an object with the schema and a name for it.
    if name == "json_schema" and isinstance(value, Mapping):
        value = value.get("schema", value)
    if not isinstance(value, Mapping):
        raise InvalidRequestError(
            "request.parameters.grammar.value: a JSON schema is a mapping, or a string of one"
        )
    return value


# Each parameter that has another name in a completion, with the function that returns its fields.
_TRANSLATIONS: dict[str, Callable[[Any, Kind | None], dict[str, Any]]] = {
    "stop": _translate_stop,
    "top_k": _translate_top_k,
    "typical_p": _translate_typical_p,
    "repetition_penalty": _translate_repetition_penalty,
    "truncate": _translate_truncate,
    "num_return_sequences": _translate_n,
    "best_of": _translate_best_of,
    "max_time": _translate_max_time,
    "grammar": _translate_grammar,
    "decoder_input_details": _make_refusal(
        "decoder_input_details", "leave it out; only TGI's own routes return the prompt's tokens"
    ),
    "watermark": _make_refusal("watermark", "leave it out; only TGI's own routes mark a text"),
}
