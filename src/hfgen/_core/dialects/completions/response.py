"""A choice of an OpenAI-compatible completion, and what it says in TGI's terms. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET

from hfgen._core.answers import Token

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hfgen._core.dialects.server_kind import Kind


class TokenReport(NamedTuple):
    """A token, and its likeliest alternatives if they were asked for."""

    token: Token
    top: list[Token] | None = None


class Usage(msgspec.Struct):
    """How many tokens there were, of all choices together."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Likely(msgspec.Struct):
    """A token with its log-probability, in the shape of OpenAI's chat."""

    token: str
    id: int | None = None
    logprob: float | None = None
    top_logprobs: list[Likely] | None = None


class Logprobs(msgspec.Struct):
    """Log-probabilities: lists side by side, or `content` in the shape of the chat."""

    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float | None] | None] | None = None
    token_ids: list[int] | None = None
    content: list[Likely] | None = None


def report_tokens(said: Logprobs | None, ids: list[int] | None, top: int) -> list[TokenReport]:
    """Return the tokens that a choice tells of.

    Args:
        said: Its `logprobs`.
        ids: Its `token_ids`.
        top: How many alternatives were asked for.
    """
    if said is not None and said.content:
        return [_from_content(token, top) for token in said.content]
    if said is None or said.tokens is None:
        # A server may give ids and no texts.
        return [TokenReport(Token(id=token_id, text="")) for token_id in ids or ()]
    texts = said.tokens
    ids = said.token_ids if ids is None else ids
    numbers = _padded(said.token_logprobs, len(texts))
    tops = _padded(said.top_logprobs, len(texts))
    known = _padded(ids if ids and len(ids) == len(texts) else None, len(texts))
    return [
        TokenReport(
            Token(id=number, text=text, logprob=logprob),
            _likeliest(
                (
                    Token(id=number if other == text else None, text=other, logprob=its)
                    for other, its in (likely or {}).items()
                ),
                top,
            ),
        )
        for text, number, logprob, likely in zip(texts, known, numbers, tops, strict=True)
    ]


def is_silent(token: Token) -> bool:
    """Tell whether it is a token indeed, and has no text."""
    return token.id is not None and not token.text


def as_special(token: Token) -> Token:
    """Return it as one that is no text."""
    return msgspec.structs.replace(token, special=True)


def _from_content(said: Likely, top: int) -> TokenReport:
    others = (Token(id=o.id, text=o.token, logprob=o.logprob) for o in said.top_logprobs or ())
    token = Token(id=said.id, text=said.token, logprob=said.logprob)
    return TokenReport(token, _likeliest(others, top))


def _likeliest(tokens: Iterable[Token], top: int) -> list[Token] | None:
    """Return as many as were asked for; servers add the token that was drawn."""
    if not top:
        return None
    lowest = float("-inf")
    ordered = sorted(tokens, key=lambda t: lowest if t.logprob is None else t.logprob, reverse=True)
    return ordered[:top] or None


def _padded(values: Sequence[_T] | None, length: int) -> list[_T | None]:
    values = (values or ())[:length]
    return [*values, *[None] * (length - len(values))]


class Choice(msgspec.Struct):
    """One of the sequences: whole in an answer, a piece of it in an event."""

    index: int | None = None
    text: str | msgspec.UnsetType | None = UNSET
    # The empty string stands for null.
    finish_reason: str | None = None
    logprobs: Logprobs | None = None
    token_ids: list[int] | None = None
    # Which stop it was, in vLLM's and in SGLang's words.
    stop_reason: object = UNSET
    matched_stop: object = UNSET


class Completion(msgspec.Struct):
    """An answer, or an event."""

    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: object = None


_completion = msgspec.json.Decoder(Completion)
_STRUCTS: dict[str, type[msgspec.Struct]] = {"logprobs": Logprobs, "usage": Usage}


def decode_completion(data: bytes) -> Completion:
    """Return the completion that the JSON is.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError, RecursionError: It is none.
    """
    try:
        return _completion.decode(data)
    except msgspec.ValidationError:
        said = msgspec.json.decode(data)
        if not isinstance(said, dict) or not isinstance(said.get("choices"), list):
            raise
        kept = _without_unreadable(said, Completion)
        kept["choices"] = [_readable_choice(choice) for choice in said["choices"]]
        return msgspec.convert(kept, Completion)


def _readable_choice(said: Any) -> Any:
    if not isinstance(said, dict):
        return said
    # All but the text is decoration.
    text = {"text": said["text"]} if "text" in said else {}
    return _without_unreadable(said, Choice) | text


def _without_unreadable(said: dict[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the fields that are as they ought to be."""
    kept = {}
    for field in msgspec.structs.fields(kind):
        value = said.get(field.name, UNSET)
        if field.name in _STRUCTS and isinstance(value, dict):
            value = _without_unreadable(value, _STRUCTS[field.name])
        if value is not UNSET and _fits(value, field.type):
            kept[field.name] = value
    return kept


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


class RequestedOutput(msgspec.Struct, frozen=True):
    """What of a request one must know to read the answer.

    Attributes:
        prompt: The prompt.
        returns_prompt: Whether the prompt is to be before the generated text.
        stop: The stop strings.
        top: How many alternatives of each token.
        count: How many sequences.
        most: How many tokens at most.
        kind: The kind of the server.
    """

    prompt: str = ""
    returns_prompt: bool = False
    stop: tuple[str, ...] = ()
    top: int = 0
    count: int = 1
    most: int | None = None
    kind: Kind | None = None

    def whole(self, generated: str) -> str:
        """Return the text that is to be the `generated_text`."""
        return self.prompt + generated if self.returns_prompt else generated


def finish_reason(choice: Choice, generated: str, asked: RequestedOutput) -> str | None:
    """Return the reason in TGI's terms, or the server's own word where there is none.

    Args:
        choice: What tells of the end.
        generated: The whole text, without the prompt.
        asked: What was asked for.
    """
    native = choice.finish_reason or None
    if native in {"eos", "eos_token"}:
        return "eos_token"
    if native != "stop":
        return native
    stops = [said for said in (choice.stop_reason, choice.matched_stop) if said is not UNSET]
    if any(isinstance(said, str) for said in stops):
        return "stop_sequence"
    if any(isinstance(said, int) for said in stops):
        return "eos_token"
    # Generation ends at the first, so there is none unless it is what ended it; transformers
    # keeps what else was in its token.
    if any(stop and stop in generated for stop in asked.stop):
        return "stop_sequence"
    # A null is vLLM's word for the end of the text, and TGI has a word of its own for a stop.
    is_end = bool(stops) or not asked.stop or asked.kind == "tgi"
    return "eos_token" if is_end else native


def tokens(choice: Choice, text: str, why: str | None, asked: RequestedOutput) -> list[TokenReport]:
    """Return the tokens of a piece of a stream; none if there is nothing to be read of them.

    Args:
        choice: The piece.
        text: Its text, which is that of the tokens joined.
        why: The reason for which it is the last, in TGI's terms.
        asked: What was asked for.
    """
    said = report_tokens(choice.logprobs, choice.token_ids, asked.top)
    # TGI's own stream has the end-of-sequence token in the text, and no other word for it.
    if text and choice.finish_reason == "eos_token" and asked.kind in {None, "tgi"}:
        said = fit_text(said or [TokenReport(Token(text=text))], text)
        return [*said[:-1], _special(said[-1])]
    return mark_end_token(said, text, why) or fit_text(said, text)


def mark_end_token(said: list[TokenReport], text: str, why: str | None) -> list[TokenReport]:
    """Return the tokens, the last one special if it is an end that is not in the text.

    Nothing if they are not the tokens of this text.
    """
    texts = [token.token.text for token in said]
    is_end = why == "eos_token" and said and (is_silent(said[-1].token) or "".join(texts) != text)
    if is_end and "".join(texts[:-1]) == text:
        return [*said[:-1], _special(said[-1])]
    return said if "".join(texts) == text else []


def fit_text(said: list[TokenReport], text: str) -> list[TokenReport]:
    """Return the tokens with the text in the last one, unless it is their text anyway."""
    if not said or "".join(token.token.text for token in said) == text:
        return said
    ends = [""] * (len(said) - 1) + [text]
    return [
        token._replace(token=msgspec.structs.replace(token.token, text=end))
        for token, end in zip(said, ends, strict=True)
    ]


def _special(said: TokenReport) -> TokenReport:
    return said._replace(token=as_special(said.token))


_T = TypeVar("_T")
