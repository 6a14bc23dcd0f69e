"""The tokens of a choice, from what a server says of log-probabilities and ids. No I/O.

Two shapes: OpenAI's lists side by side (vLLM, SGLang, hosted ones), and that of its chat, which
llama.cpp uses here too. All of it is decoration: what cannot be read is as good as absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from hfgen._core.answers import Token

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_T = TypeVar("_T")


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
