"""The JSON requests of all routes as structs, and how a body is decoded into one. No I/O.

Fields, defaults and what may be null: text-generation-inference, `router/src/lib.rs`
(`GenerateParameters`, `GenerateRequest`, `CompatGenerateRequest`, `CompletionRequest`).

TGI ignores unknown fields. Here they are refused, because an answer that leaves out what a field
asks for looks like a right one. Fields that clients always send and that change no answer here are
known: `model` and `options`; on `/v1/completions` also `user` and `stream_options`.
"""

from __future__ import annotations

import re
import struct
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

I32: TypeAlias = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
U32: TypeAlias = Annotated[int, Meta(ge=0, le=2**32 - 1)]
PositiveU32: TypeAlias = Annotated[int, Meta(ge=1, le=2**32 - 1)]
# msgspec allows bounds up to 2**63 - 1 only, so `__post_init__` checks the upper bound of a u64.
U64: TypeAlias = Annotated[int, Meta(ge=0)]
_U64_MAX = 2**64 - 1
_F32 = struct.Struct("<f")

_Request = TypeVar("_Request")


class JsonGrammar(msgspec.Struct, frozen=True, tag_field="type", tag="json"):
    value: Any


class JsonObjectGrammar(msgspec.Struct, frozen=True, tag_field="type", tag="json_object"):
    value: Any


class RegexGrammar(msgspec.Struct, frozen=True, tag_field="type", tag="regex"):
    value: str


class JsonSchema(msgspec.Struct, frozen=True):
    schema: Any
    name: str | None = None


class JsonSchemaGrammar(msgspec.Struct, frozen=True, tag_field="type", tag="json_schema"):
    value: JsonSchema


Grammar: TypeAlias = JsonGrammar | JsonObjectGrammar | RegexGrammar | JsonSchemaGrammar


class GenerateParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    best_of: U64 | None = None
    temperature: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float | None = None
    top_k: I32 | None = None
    top_p: float | None = None
    typical_p: float | None = None
    do_sample: bool = False
    max_new_tokens: U32 | None = None
    return_full_text: bool | None = None
    stop: tuple[str, ...] = ()
    truncate: U64 | None = None
    watermark: bool = False
    details: bool = False
    decoder_input_details: bool = False
    seed: U64 | None = None
    top_n_tokens: U32 | None = None
    grammar: Grammar | None = None
    adapter_id: str | None = None
    # Not TGI's. They may only have a value that changes nothing: vLLM's benchmark always sends the
    # first, and requests that are written for several servers have the second.
    ignore_eos_token: bool | None = None
    num_return_sequences: U64 | None = None

    def __post_init__(self) -> None:
        _check_u64(best_of=self.best_of, truncate=self.truncate, seed=self.seed)
        _round_to_f32(
            self,
            "temperature",
            "repetition_penalty",
            "frequency_penalty",
            "top_p",
            "typical_p",
        )


def make_default_parameters() -> GenerateParameters:
    """Return TGI's parameters for a request without `parameters`: they sample, unlike `{}`."""
    return GenerateParameters(do_sample=True)


class GenerateRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a request to TGI's own routes.

    `model` and `options` are ignored. hfgen sends the model's name to every server; `options` are
    about the cache of the hosted Inference API and about its waiting for models.
    """

    inputs: str
    parameters: GenerateParameters = msgspec.field(default_factory=make_default_parameters)
    stream: bool | UnsetType = UNSET
    model: str | None = None
    options: dict[str, Any] | None = None


class CompletionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a request to `/v1/completions`.

    `model` is ignored. TGI takes any name but "tgi" for the id of an adapter; but OpenAI's clients
    must send a name, and that is usually the model's. This server has one model; only TGI's own
    routes have `adapter_id`. `user` is ignored, and so is `stream_options`: every stream has its
    usage in the last chunk.

    `logprobs` and `n`, which TGI ignores, work as in vLLM. `best_of`, `echo`, `logit_bias` and
    `presence_penalty` may only have a value that changes nothing, as clients send it by default.
    """

    prompt: str | tuple[str, ...]
    model: str | None = None
    max_tokens: U32 | None = None
    temperature: float | None = None
    top_p: float | None = None
    stream: bool = False
    seed: U64 | None = None
    suffix: str | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] | None = None
    logprobs: U32 | None = None
    n: PositiveU32 | None = None
    best_of: U32 | None = None
    echo: bool | None = None
    logit_bias: dict[str, float] | None = None
    presence_penalty: float | None = None
    user: str | None = None
    stream_options: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        _check_u64(seed=self.seed)
        _round_to_f32(self, "temperature", "top_p", "repetition_penalty", "frequency_penalty")
        if not self.prompt and self.prompt != "":
            raise ValueError("Empty array detected. Do not use an empty array for the prompt.")

    @property
    def prompts(self) -> tuple[str, ...]:
        return (self.prompt,) if isinstance(self.prompt, str) else self.prompt

    @property
    def is_greedy(self) -> bool:
        # On this route only a temperature of 0 is greedy. TGI's own routes refuse that value.
        return self.temperature == 0

    @property
    def choices_per_prompt(self) -> int:
        """How many choices each prompt has."""
        return self.n or 1

    @property
    def unsupported_fields(self) -> tuple[str, ...]:
        """The fields that ask for what this server does not do."""
        asked = {
            # With as many candidates as choices, each candidate is a choice.
            "best_of": self.best_of not in {None, self.choices_per_prompt},
            "echo": self.echo,
            "logit_bias": self.logit_bias,
            "presence_penalty": self.presence_penalty,
        }
        return tuple(name for name, is_asked in asked.items() if is_asked)

    def to_generate_requests(self) -> list[GenerateRequest]:
        """Return one request per choice: all choices of the first prompt, then of the next."""
        parameters = [self._make_parameters(copy) for copy in range(self.choices_per_prompt)]
        return [
            GenerateRequest(inputs=prompt, parameters=choice_parameters)
            for prompt in self.prompts
            for choice_parameters in parameters
        ]

    def _make_parameters(self, copy: int) -> GenerateParameters:
        return GenerateParameters(
            temperature=None if self.is_greedy else self.temperature,
            repetition_penalty=self.repetition_penalty,
            frequency_penalty=self.frequency_penalty,
            # TGI refuses 1, OpenAI's default, which LangChain always sends.
            top_p=None if self.top_p == 1 else self.top_p,
            do_sample=not self.is_greedy,
            max_new_tokens=self.max_tokens,
            stop=self.stop or (),
            details=True,
            # Each choice needs its own seed, else all would be the same. The highest wraps to 0.
            seed=None if self.seed is None else (self.seed + copy) & _U64_MAX,
            top_n_tokens=self.logprobs,
        )


class UnreadableBodyError(Exception):
    """A request body that cannot be decoded.

    Attributes:
        status: 400 if the body is not JSON, 422 if it is JSON of another shape.
        text: The text of the answer. Up to the colon it is that of axum's `Json` extractor.
    """

    def __init__(self, status: Literal[400, 422], text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


def decode_request(decoder: msgspec.json.Decoder[_Request], body: bytes) -> _Request:
    """Decode a request body.

    Raises:
        UnreadableBodyError: The body is not JSON, or has another shape.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        text = "Failed to deserialize the JSON body into the target type"
        raise UnreadableBodyError(422, f"{text}: {_describe(error)}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableBodyError(
            400, f"Failed to parse the request body as JSON: {error}"
        ) from error


_SERDE = {
    "Object missing required field": "missing field",
    "Object contains unknown field": "unknown field",
}
_PLACE = re.compile(r"(?P<problem>.*?)(?: - at `\$\.?(?P<place>.*)`)?", re.DOTALL)


def _describe(error: msgspec.ValidationError) -> str:
    """Return msgspec's message with its place first, and serde's words for a field's name."""
    match = _PLACE.fullmatch(str(error))
    assert match is not None
    problem = match["problem"]
    for words, serde in _SERDE.items():
        problem = problem.replace(words, serde)
    return f"{match['place']}: {problem}" if match["place"] else problem


def _check_u64(**values: int | None) -> None:
    for name, value in values.items():
        if value is not None and value > _U64_MAX:
            raise ValueError(f"{name}: Expected `int` <= {_U64_MAX}")


def _round_to_f32(request: msgspec.Struct, *names: str) -> None:
    """Round some fields to 32 bits, the type of all floats in TGI's requests.

    TGI reads a number beyond that range as infinite, and fails during generation. Here the request
    is refused at once, as serde refuses an integer that is out of range.
    """
    for name in names:
        value = getattr(request, name)
        if value is None:
            continue
        try:
            (rounded,) = _F32.unpack(_F32.pack(value))
        except OverflowError:
            raise ValueError(f"{name}: Expected `float` of 32 bits, got {value}") from None
        msgspec.structs.force_setattr(request, name, rounded)
