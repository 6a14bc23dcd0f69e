"""The requests as they arrive, decoded with TGI's nullability. No I/O.

Fields, defaults and what may be null: text-generation-inference, `router/src/lib.rs`
(`GenerateParameters`, `GenerateRequest`, `CompatGenerateRequest`, `CompletionRequest`). Unknown
fields are ignored, as serde ignores them there.
"""

from __future__ import annotations

import re
import struct
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

I32: TypeAlias = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
U32: TypeAlias = Annotated[int, Meta(ge=0, le=2**32 - 1)]
PositiveU32: TypeAlias = Annotated[int, Meta(ge=1, le=2**32 - 1)]
# msgspec's bounds end at 2**63 - 1: what a u64 ends at is looked at in `__post_init__`.
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


class GenerateParameters(msgspec.Struct, frozen=True, kw_only=True):
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
    """Return what TGI takes where `parameters` is absent: unlike `{}`, that samples."""
    return GenerateParameters(do_sample=True)


class GenerateRequest(msgspec.Struct, frozen=True, kw_only=True):
    inputs: str
    parameters: GenerateParameters = msgspec.field(default_factory=make_default_parameters)


class CompatGenerateRequest(GenerateRequest, frozen=True, kw_only=True):
    stream: bool = False


class CompletionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What `/v1/completions` takes.

    `model` is not looked at. TGI takes any name but "tgi" for the id of an adapter, but OpenAI's
    clients cannot leave it out, and people pass them the name of the model. There is one model
    here; an adapter is asked for by `adapter_id` on the native routes only.

    `logprobs` and `n`, which TGI ignores, mean what they mean to vLLM.
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
        # Only a temperature of 0 is greedy here, where the native routes refuse it.
        return self.temperature == 0

    @property
    def choices_per_prompt(self) -> int:
        """How many choices each prompt has."""
        return self.n or 1

    def to_generate_requests(self) -> list[GenerateRequest]:
        """Return the generations this asks for: the choices of the first prompt, then the next."""
        parameters = [self._parameters(copy) for copy in range(self.choices_per_prompt)]
        return [
            GenerateRequest(inputs=prompt, parameters=choice_parameters)
            for prompt in self.prompts
            for choice_parameters in parameters
        ]

    def _parameters(self, copy: int) -> GenerateParameters:
        return GenerateParameters(
            temperature=None if self.is_greedy else self.temperature,
            repetition_penalty=self.repetition_penalty,
            frequency_penalty=self.frequency_penalty,
            top_p=self.top_p,
            do_sample=not self.is_greedy,
            max_new_tokens=self.max_tokens,
            stop=self.stop or (),
            details=True,
            # One seed for all would make all choices one; after the highest comes 0.
            seed=None if self.seed is None else (self.seed + copy) & _U64_MAX,
            top_n_tokens=self.logprobs,
        )


class UnreadableBodyError(Exception):
    """A body that is not what the route takes.

    Attributes:
        status: 400 for what is no JSON, 422 for JSON of another shape.
        text: The answer, in the words of axum's `Json` extractor up to the colon.
    """

    def __init__(self, status: Literal[400, 422], text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


def decode_request(decoder: msgspec.json.Decoder[_Request], body: bytes) -> _Request:
    """Decode a body.

    Raises:
        UnreadableBodyError: It is no JSON, or of another shape.
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


_PLACE = re.compile(r"(?P<problem>.*?)(?: - at `\$\.?(?P<place>.*)`)?", re.DOTALL)


def _describe(error: msgspec.ValidationError) -> str:
    """Put the place first, and call a missing field what serde calls it."""
    match = _PLACE.fullmatch(str(error))
    assert match is not None
    problem = match["problem"].replace("Object missing required field", "missing field")
    return f"{match['place']}: {problem}" if match["place"] else problem


def _check_u64(**values: int | None) -> None:
    for name, value in values.items():
        if value is not None and value > _U64_MAX:
            raise ValueError(f"{name}: Expected `int` <= {_U64_MAX}")


def _round_to_f32(request: msgspec.Struct, *names: str) -> None:
    """Keep of some fields what fits an f32, as all floats are in TGI's requests.

    TGI takes what is beyond an f32 for infinite, and fails when it generates. Here it is refused
    at once, as serde refuses an integer that is out of range.
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
