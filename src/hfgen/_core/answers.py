"""The types of answers, with TGI's own field names.

An answer is a `Mapping`: fields are read by attribute (`chunk.token.text`) or by key
(`chunk["token"]["text"]`). Fields that hfgen does not know are ignored on decoding; a `Chunk` or
`GeneratedText` has them by key, and in `to_dict`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import msgspec

from hfgen._core.server_json import decode_json

if TYPE_CHECKING:
    from collections.abc import Iterator

_AnswerT = TypeVar("_AnswerT", bound="Answer")

# Fields that `to_dict` leaves out if they are empty. TGI does so with the first two
# (`skip_serializing_if` in its router/src/lib.rs); the others are hfgen's own.
_OMITTED = frozenset(
    {"top_tokens", "best_of_sequences", "resumed", "sequence", "native_finish_reason"}
)


# A global, since looking the attributes up for every token takes time.
_set = msgspec.structs.force_setattr


class _RawJson(bytes):
    """The type of `Answer._raw`. No JSON decodes to it, so that no server can set that field."""

    __slots__ = ()


class Answer(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The root of all answer types: a mapping, of which each key is also an attribute.

    `json` writes it with `json.dumps(answer, default=dict)`.
    """

    _omitted: ClassVar[frozenset[str]] = _OMITTED
    # The JSON that the object was decoded from. The name is one that no server would send.
    _raw: _RawJson | None = msgspec.field(default=None, name="\x7fraw")

    def to_dict(self) -> dict[str, Any]:
        """Return the object as plain dicts and lists.

        For a `GeneratedText` or `Chunk` that came from a server the result has every field that the
        server sent, also those that hfgen does not know; for a part of one, only the known fields.
        """
        if self._raw is not None:
            return cast("dict[str, Any]", decode_json(self._raw))
        fields = {name: getattr(self, name) for name in self.__struct_fields__[1:]}
        return {k: _to_plain(v) for k, v in fields.items() if v or k not in self._omitted}

    def to_json(self) -> str:
        """Return `to_dict()` as JSON; for a whole answer, the JSON that the server sent."""
        if self._raw is not None:
            return self._raw.decode("utf-8", "replace")
        return msgspec.json.encode(self.to_dict()).decode()

    def keys(self) -> tuple[str, ...]:
        """Return the names of the known fields, then of others that the server sent."""
        known = self.__struct_fields__[1:]
        if self._raw is None:
            return known
        return *known, *(name for name in self.to_dict() if name not in known)

    def values(self) -> tuple[Any, ...]:
        """Return the values of all fields, in the order of `keys`."""
        return tuple(value for _, value in self.items())

    def items(self) -> tuple[tuple[str, Any], ...]:
        """Return the names and values of all fields."""
        return tuple((name, self[name]) for name in self.keys())

    def get(self, key: str, default: Any = None) -> Any:
        """Return the field of that name, or `default` if there is none."""
        try:
            return self[key]
        except KeyError:
            return default

    def __getitem__(self, key: str) -> Any:
        if key in self.__struct_fields__[1:]:
            return getattr(self, key)
        return self.to_dict()[key]

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = self.__struct_fields__[1:]
        return all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        fields = (f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__[1:])
        return f"{type(self).__name__}({', '.join(fields)})"


# Others look for a `Mapping`, as pandas does for the rows of a frame. Not by inheritance, because a
# struct has a metaclass of its own.
Mapping.register(Answer)


class Token(Answer, frozen=True, kw_only=True, eq=False):
    """A generated token.

    Attributes:
        id: The number of the token in the vocabulary, None if the server does not send it.
        text: The text of the token; empty while a character that spans several tokens is not whole.
        logprob: The log-probability (natural logarithm), None if the server does not send it.
        special: Whether this is a control token (`</s>`, `<|eot_id|>`), whose text is no part of
            the generated text.
    """

    id: int | None = None
    text: str
    logprob: float | None = None
    special: bool = False


class PrefillToken(Answer, frozen=True, kw_only=True, eq=False):
    """A token of the prompt.

    Attributes:
        id: The number of the token in the vocabulary.
        text: The text of the token.
        logprob: The log-probability, None for the first token.
    """

    id: int | None = None
    text: str
    logprob: float | None = None


class BestOfSequence(Answer, frozen=True, kw_only=True, eq=False):
    """A sequence that `best_of` generated and did not choose. For its fields see `Details`."""

    generated_text: str
    finish_reason: str | None = None
    generated_tokens: int | None = None
    seed: int | None = None
    prefill: list[PrefillToken] = []
    tokens: list[Token] = []
    top_tokens: list[list[Token]] | None = None


class Details(Answer, frozen=True, kw_only=True, eq=False):
    """The details of an answer, present if `parameters.details` asked for them.

    An answer of `/v1/completions` always has them, but has the tokens only if they were asked for.

    Attributes:
        finish_reason: "length", "eos_token", "stop_sequence", or a server's own word.
        native_finish_reason: The server's own word, if it differs from `finish_reason`.
        generated_tokens: The number of tokens generated, None if the server does not send it.
        input_length: The number of tokens in the prompt, None if the server does not send it (TGI
            sends it in streams only).
        seed: The seed used, None if nothing was drawn.
        prefill: The tokens of the prompt, if `decoder_input_details` asked for them.
        tokens: The tokens generated.
        top_tokens: The likeliest alternatives of each token, if `top_n_tokens` asked for them.
        best_of_sequences: The sequences that `best_of` did not choose.
    """

    _omitted: ClassVar[frozenset[str]] = _OMITTED | {"input_length"}
    finish_reason: str | None = None
    generated_tokens: int | None = None
    seed: int | None = None
    input_length: int | None = None
    native_finish_reason: str | None = None
    prefill: list[PrefillToken] = []
    tokens: list[Token] = []
    top_tokens: list[list[Token]] | None = None
    best_of_sequences: list[BestOfSequence] | None = None


class GeneratedText(Answer, frozen=True, kw_only=True, eq=False):
    """The answer of `run`.

    Attributes:
        generated_text: The text; with the prompt before it if `return_full_text` was on.
        details: The details, if `parameters.details` asked for them or the server speaks
            `/v1/completions`; else None.
    """

    generated_text: str
    details: Details | None = None


class StreamDetails(Answer, frozen=True, kw_only=True, eq=False):
    """The details at the end of a stream, present if `parameters.details` asked for them.

    A stream of `/v1/completions` always has them.

    Attributes:
        finish_reason: "length", "eos_token", "stop_sequence", or a server's own word.
        native_finish_reason: The server's own word, if it differs from `finish_reason`.
        generated_tokens: The number of tokens generated, None if the server does not send it.
        seed: The seed used, None if nothing was drawn.
        input_length: The number of tokens in the prompt.
    """

    finish_reason: str | None = None
    generated_tokens: int | None = None
    seed: int | None = None
    input_length: int | None = None
    native_finish_reason: str | None = None


class Chunk(Answer, frozen=True, kw_only=True, eq=False):
    """One event of a stream: a token; the last one also has the whole text.

    Attributes:
        index: The number of the event, from 1; None if the server does not send it.
        token: The token.
        top_tokens: The likeliest alternatives of the token, if `top_n_tokens` asked for them.
        generated_text: The whole text without special tokens, in the last chunk only.
        details: In the last chunk the details, if `parameters.details` asked for them or the server
            speaks `/v1/completions`; else None.
        sequence: The number, from 0, of the sequence that the chunk belongs to
            (`num_return_sequences`).
        resumed: Whether the chunk came after a break that `resume=True` mended. hfgen has then
            changed index, text and details to those of the whole generation.
    """

    index: int | None = None
    token: Token
    top_tokens: list[Token] | None = None
    generated_text: str | None = None
    details: StreamDetails | None = None
    sequence: int = 0
    resumed: bool = False


class SimpleToken(Answer, frozen=True, kw_only=True, eq=False):
    """A token of a text that `tokenize` was given (the name is TGI's).

    Attributes:
        id: The number of the token in the vocabulary.
        text: The text of the token, None if unknown.
        start: The index of the first of its characters in the text; None if unknown.
        stop: The index after the last of its characters; None if unknown.
    """

    id: int
    text: str | None = None
    start: int | None = None
    stop: int | None = None


class ServerInfo(Answer, frozen=True, kw_only=True, eq=False):
    """A server's description of itself. Other fields that it sends are in `to_dict`, and by key.

    Attributes:
        server: The software: "tgi", "vllm", "sglang", "llama.cpp", "ollama", "transformers" (which
            is `transformers serve`); None if unknown.
        model_id: The model that the server serves, None if there are several.
        version: The server's version, None if unknown.
        max_input_tokens: The maximum of tokens in a prompt, None if unknown.
        max_total_tokens: The maximum of tokens of prompt and text together, None if unknown.
    """

    server: str | None = None
    model_id: str | None = None
    version: str | None = None
    max_input_tokens: int | None = None
    max_total_tokens: int | None = None


def attach_raw(answer: _AnswerT, raw: bytes) -> _AnswerT:
    """Store in a freshly decoded answer the JSON that it was decoded from; return the answer."""
    _set(answer, "_raw", raw)
    return answer


def _to_plain(value: Any) -> Any:
    if isinstance(value, Answer):
        return value.to_dict()
    if isinstance(value, list):
        return [_to_plain(item) for item in value]
    return value
