"""Where in a text its tokens stand. No I/O.

Servers tell it in three ways. TGI gives offsets in bytes, and a text that is cut out as if they
counted characters (its router/src/server.rs, `encoding_to_tokens`). llama.cpp gives each token's
text, or its bytes where they are no text by themselves (its tools/server/README.md). vLLM gives the
tokenizer's own spelling (`convert_ids_to_tokens`), in which " the" is "Ġthe" or "▁the".
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from hfgen._core.answers import SimpleToken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_Span: TypeAlias = tuple[int, int]


class ReportedToken(NamedTuple):
    """What a server says of a token.

    Attributes:
        id: Its number in the vocabulary.
        text: Its text, or its bytes; None where it does not say.
        span: Where its bytes are in the text's.
        is_spelled: Whether the text is as the tokenizer spells it.
    """

    id: int
    text: str | bytes | None = None
    span: _Span | None = None
    is_spelled: bool = False


def locate_tokens(text: str, said: Sequence[ReportedToken]) -> list[SimpleToken]:
    """Return the tokens, each with its place in the text.

    Tokens that share a character share its place, as in TGI. A token that is not in the text, as
    one that marks its beginning, has none, and the text that the server gives it.
    """
    characters = [_bytes(character) for character in text]
    spans = [token.span for token in said]
    if None in spans:
        found = _find_spans(b"".join(characters), said)
        if found is None:
            said = [token._replace(text=None) if token.is_spelled else token for token in said]
        spans = found or [None] * len(said)
    # Where each character begins, in bytes, and where the last one ends.
    edges = [0, *accumulate(map(len, characters))]
    return [
        _simple_token(token, span, text, edges) for token, span in zip(said, spans, strict=True)
    ]


def _simple_token(
    said: ReportedToken, span: _Span | None, text: str, edges: Sequence[int]
) -> SimpleToken:
    if span is None or not 0 <= span[0] < span[1] <= edges[-1]:
        # TGI has an empty text for what it cannot place.
        own = said.text if isinstance(said.text, str) else None
        return SimpleToken(id=said.id, text=own or None)
    start = bisect_right(edges, span[0]) - 1
    stop = bisect_left(edges, span[1])
    return SimpleToken(id=said.id, text=text[start:stop], start=start, stop=stop)


def _find_spans(data: bytes, said: Sequence[ReportedToken]) -> list[_Span | None] | None:
    """Look for the tokens in the text, in each spelling until one tells of all of it."""
    for spelling in _SPELLINGS if any(token.is_spelled for token in said) else _SPELLINGS[:1]:
        pieces = [spelling(s.text) if isinstance(s.text, str) else s.text for s in said]
        # SentencePiece puts a space before a text.
        for before in (b"", b" "):
            spans = _match_pieces(before + data, pieces)
            if sum(stop - start for start, stop in filter(None, spans)) == len(before + data):
                shift = len(before)
                return [span and (max(span[0] - shift, 0), span[1] - shift) for span in spans]
    return None


def _match_pieces(data: bytes, pieces: Sequence[bytes | None]) -> list[_Span | None]:
    spans: list[_Span | None] = []
    at = 0
    for piece in pieces:
        if piece and data.startswith(piece, at):
            spans.append((at, at := at + len(piece)))
        else:
            spans.append(None)
    return spans


def _bytes(text: str) -> bytes:
    # A lone surrogate is no text, but no reason to fail here either.
    return text.encode("utf-8", "surrogatepass")


def _byte_level(written: str) -> bytes:
    try:
        return bytes(map(_BYTE_ALPHABET.__getitem__, written))
    except KeyError:
        # Tokens that were added to a vocabulary are spelled as they are.
        return _bytes(written)


def _sentencepiece(written: str) -> bytes:
    if byte := re.fullmatch(r"<0x([0-9A-F]{2})>", written):
        return bytes.fromhex(byte[1])
    return _bytes(written.replace("▁", " "))


def _byte_alphabet() -> dict[str, int]:
    """Return GPT-2's spelling of bytes: printable ones are themselves, others follow from U+0100.

    Source: `bytes_to_unicode` in github.com/openai/gpt-2, src/encoder.py.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + number): byte for number, byte in enumerate(others)
    }


_BYTE_ALPHABET = _byte_alphabet()
_SPELLINGS: tuple[Callable[[str], bytes], ...] = (_bytes, _byte_level, _sentencepiece)
