"""What servers answer, typed, with TGI's own field names.

An answer is read by attribute (`chunk.token.text`) and by key (`chunk["token"]["text"]`). What a
server adds to these types does not break them: it is in `to_dict` of the whole answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

_Struct = TypeVar("_Struct", bound="Answer")

# TGI leaves these out instead of sending null (`skip_serializing_if` in its router/src/lib.rs);
# those after the first two are hfgen's own.
_LEFT_OUT = frozenset(
    {"top_tokens", "best_of_sequences", "resumed", "sequence", "native_finish_reason"}
)


# Bound once: it is called for every token.
_set = msgspec.structs.force_setattr


class _Words(bytes):
    """The JSON that an object was read from. No JSON decodes to this, so no server sets it."""

    __slots__ = ()


class Answer(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The root of all answer types."""

    _left_out: ClassVar[frozenset[str]] = _LEFT_OUT
    # Under a name that no server would send.
    _raw: _Words | None = msgspec.field(default=None, name="\x7fraw")

    def to_dict(self) -> dict[str, Any]:
        """Return the object as plain dicts and lists.

        For a `GeneratedText` or `Chunk` that came from a server it is all that the server said,
        fields that hfgen does not know included; for a part of one, its known fields.
        """
        if self._raw is not None:
            return _decoded(self._text())
        known = {key: getattr(self, key) for key in self.keys()}
        return {k: _plain(v) for k, v in known.items() if v or k not in self._left_out}

    def to_json(self) -> str:
        """Return `to_dict()` as JSON; for a whole answer, the server's own words."""
        return (
            self._text() if self._raw is not None else msgspec.json.encode(self.to_dict()).decode()
        )

    def _text(self) -> str:
        # The web's rule for bytes that are no UTF-8; where they matter, decoding has failed.
        return (self._raw or b"").decode("utf-8", "replace")

    def keys(self) -> tuple[str, ...]:
        """Return the names of the known fields."""
        return self.__struct_fields__[1:]

    def get(self, key: str, default: Any = None) -> Any:
        """Return the field, or `default` if there is none of that name."""
        try:
            return self[key]
        except KeyError:
            return default

    def __getitem__(self, key: str) -> Any:
        if key in self.keys():
            return getattr(self, key)
        return self.to_dict()[key]

    def __contains__(self, key: object) -> bool:
        return key in self.keys() or key in self.to_dict()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, key) == getattr(other, key) for key in self.keys())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        fields = ", ".join(f"{key}={getattr(self, key)!r}" for key in self.keys())
        return f"{type(self).__name__}({fields})"


class Token(Answer, frozen=True, kw_only=True, eq=False):
    """A generated token.

    Attributes:
        id: Its number in the vocabulary, None where the server does not say.
        text: Its text; empty while a character that spans several tokens is not whole.
        logprob: Its log-probability (natural logarithm), None where the server gives none.
        special: Whether it is a control token (`</s>`, `<|eot_id|>`): no text, whatever it spells.
    """

    id: int | None = None
    text: str
    logprob: float | None = None
    special: bool = False


class PrefillToken(Answer, frozen=True, kw_only=True, eq=False):
    """A token of the prompt.

    Attributes:
        id: Its number in the vocabulary.
        text: Its text.
        logprob: Its log-probability, None for the first one.
    """

    id: int | None = None
    text: str
    logprob: float | None = None


class BestOfSequence(Answer, frozen=True, kw_only=True, eq=False):
    """One of the sequences that `best_of` generated and did not choose. Fields as in `Details`."""

    generated_text: str
    finish_reason: str | None = None
    generated_tokens: int | None = None
    seed: int | None = None
    prefill: list[PrefillToken] = []
    tokens: list[Token] = []
    top_tokens: list[list[Token]] | None = None


class Details(Answer, frozen=True, kw_only=True, eq=False):
    """The details of an answer, there if `parameters.details` asked for them.

    An answer of `/v1/completions` has them always, and the tokens if they were asked for.

    Attributes:
        finish_reason: "length", "eos_token", "stop_sequence", or a server's own word.
        native_finish_reason: The server's own word, where it is another one.
        generated_tokens: The number of tokens generated, None where the server does not say.
        input_length: The number of tokens in the prompt, where the server says; TGI says so in
            streams only.
        seed: The seed used, None if nothing was drawn.
        prefill: The tokens of the prompt, if `decoder_input_details` asked for them.
        tokens: The tokens generated.
        top_tokens: For each token its likeliest alternatives, if `top_n_tokens` asked for them.
        best_of_sequences: The sequences that `best_of` did not choose.
    """

    _left_out: ClassVar[frozenset[str]] = _LEFT_OUT | {"input_length"}
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
        details: None unless `parameters.details` asked for them, or it is of `/v1/completions`.
    """

    generated_text: str
    details: Details | None = None


class StreamDetails(Answer, frozen=True, kw_only=True, eq=False):
    """The details at the end of a stream, there if `parameters.details` asked for them.

    A stream of `/v1/completions` has them always.

    Attributes:
        finish_reason: "length", "eos_token", "stop_sequence", or a server's own word.
        native_finish_reason: The server's own word, where it is another one.
        generated_tokens: The number of tokens generated, None where the server does not say.
        seed: The seed used, None if nothing was drawn.
        input_length: The number of tokens in the prompt.
    """

    finish_reason: str | None = None
    generated_tokens: int | None = None
    seed: int | None = None
    input_length: int | None = None
    native_finish_reason: str | None = None


class Chunk(Answer, frozen=True, kw_only=True, eq=False):
    """One event of a stream: a token, and with the last one the whole.

    Attributes:
        index: Counts the events from 1; None where the server does not.
        token: The token.
        top_tokens: Its likeliest alternatives, if `top_n_tokens` asked for them.
        generated_text: The whole text, in the last chunk only; special tokens are not in it.
        details: In the last chunk, if `parameters.details` asked for them, or in any case where
            the server speaks `/v1/completions`.
        sequence: Which of several sequences it belongs to, counted from 0 (`num_return_sequences`).
        resumed: Whether it came after a break that `resume=True` mended. That is hfgen's word, and
            index, text and details are then those of the whole.
    """

    index: int | None = None
    token: Token
    top_tokens: list[Token] | None = None
    generated_text: str | None = None
    details: StreamDetails | None = None
    sequence: int = 0
    resumed: bool = False


class SimpleToken(Answer, frozen=True, kw_only=True, eq=False):
    """A token of a text, as a server's tokenizer cuts it (TGI's name for it).

    Attributes:
        id: Its number in the vocabulary.
        text: Its text, None where the server does not say.
        start: Where it begins in the text, in characters; None where nobody says.
        stop: Where it ends.
    """

    id: int
    text: str | None = None
    start: int | None = None
    stop: int | None = None


class ServerInfo(Answer, frozen=True, kw_only=True, eq=False):
    """What a server says of itself; all of it by key and in `to_dict`.

    Attributes:
        server: Which one it is: "tgi", "vllm", "sglang", "llama.cpp", "ollama"; None if unknown.
        model_id: The model that it serves, None where there are several.
        version: The server's version, None where it does not say.
        max_input_tokens: How long a prompt may be, None where it does not say.
        max_total_tokens: How long prompt and text together may be, None where it does not say.
    """

    server: str | None = None
    model_id: str | None = None
    version: str | None = None
    max_input_tokens: int | None = None
    max_total_tokens: int | None = None


def attach_raw(answer: _Struct, raw: bytes) -> _Struct:
    """Let a freshly decoded answer remember the JSON that it came from."""
    _set(answer, "_raw", raw)
    return answer


def _decoded(text: str) -> dict[str, Any]:
    try:
        said: dict[str, Any] = msgspec.json.decode(text)
    except msgspec.DecodeError:
        import json  # noqa: PLC0415 - slow to import, rarely needed

        # A number without a size that msgspec knows, in a field that hfgen does not.
        said = json.loads(text, parse_int=_integer)
    return said


def _integer(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:
        # Python limits how many digits it reads, because that takes quadratic time.
        return float(digits)


def _plain(value: Any) -> Any:
    if isinstance(value, Answer):
        return value.to_dict()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
