"""`locate_tokens`: where the tokens of a text are in it. No I/O.

Servers report tokens in three ways. TGI sends offsets in bytes, and texts that it cuts out as if
these counted characters (its router/src/server.rs, `encoding_to_tokens`). llama.cpp sends the text
of each token, or its bytes if they are no valid UTF-8 by themselves (its tools/server/README.md).
vLLM sends the tokenizer's own spelling (`convert_ids_to_tokens`), where " the" is "Ġthe" or "▁the".
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
    """A token as a server reports it.

    Attributes:
        id: The number of the token in the vocabulary.
        text: The text of the token, or its bytes; None if the server does not send it.
        span: Where the token begins and ends in the text, in bytes; None if the server does not
            send it.
        is_spelled: Whether `text` is in the tokenizer's own spelling.
    """

    id: int
    text: str | bytes | None = None
    span: _Span | None = None
    is_spelled: bool = False


def locate_tokens(text: str, tokens: Sequence[ReportedToken]) -> list[SimpleToken]:
    """Return the tokens with their places in the text.

    Tokens that are parts of the same character have the same place, as in TGI. A token that is not
    in the text, such as one that marks its beginning, has no place, and the text that the server
    sent.
    """
    characters = [_encode(character) for character in text]
    spans = [token.span for token in tokens]
    if None in spans:
        new_spans = _find_spans(b"".join(characters), tokens)
        if new_spans is None:
            # The spelling is not known. It is not shown as a text.
            tokens = [t._replace(text=None) if t.is_spelled else t for t in tokens]
        spans = new_spans or [None] * len(tokens)
    # The offset in bytes of the beginning of each character, and of the end of the last one.
    edges = [0, *accumulate(map(len, characters))]
    return [
        _locate_token(token, span, text, edges) for token, span in zip(tokens, spans, strict=True)
    ]


def _locate_token(
    token: ReportedToken, span: _Span | None, text: str, edges: Sequence[int]
) -> SimpleToken:
    if span is None or not 0 <= span[0] < span[1] <= edges[-1]:
        # TGI sends an empty text for a token that it cannot locate.
        own_text = token.text if isinstance(token.text, str) else None
        return SimpleToken(id=token.id, text=own_text or None)
    start = bisect_right(edges, span[0]) - 1
    stop = bisect_left(edges, span[1])
    return SimpleToken(id=token.id, text=text[start:stop], start=start, stop=stop)


def _find_spans(data: bytes, tokens: Sequence[ReportedToken]) -> list[_Span | None] | None:
    """Find the tokens in the text, in the first spelling in which they make up all of it.

    Return None if there is no such spelling.
    """
    is_spelled = any(token.is_spelled for token in tokens)
    for decode in _SPELLINGS if is_spelled else _SPELLINGS[:1]:
        pieces = [decode(t.text) if isinstance(t.text, str) else t.text for t in tokens]
        # SentencePiece puts a space before a text.
        for prefix in (b"", b" "):
            spans = _match_pieces(prefix + data, pieces)
            if sum(stop - start for start, stop in filter(None, spans)) == len(prefix + data):
                shift = len(prefix)
                return [span and (max(span[0] - shift, 0), span[1] - shift) for span in spans]
    return None


def _match_pieces(data: bytes, pieces: Sequence[bytes | None]) -> list[_Span | None]:
    """Return the place of each piece that follows the one before it, None for other pieces."""
    spans: list[_Span | None] = []
    position = 0
    for piece in pieces:
        if piece and data.startswith(piece, position):
            spans.append((position, position := position + len(piece)))
        else:
            spans.append(None)
    return spans


def _encode(text: str) -> bytes:
    # Lone surrogates are no valid text, but can be located too.
    return text.encode("utf-8", "surrogatepass")


def _decode_byte_level(spelling: str) -> bytes:
    try:
        return bytes(map(_BYTE_ALPHABET.__getitem__, spelling))
    except KeyError:
        # Tokens that were added to a vocabulary later are spelled like their text.
        return _encode(spelling)


def _decode_sentencepiece(spelling: str) -> bytes:
    if byte := re.fullmatch(r"<0x([0-9A-F]{2})>", spelling):
        return bytes.fromhex(byte[1])
    return _encode(spelling.replace("▁", " "))


def _make_byte_alphabet() -> dict[str, int]:
    """Return the byte of each character in GPT-2's spelling.

    Printable bytes are spelled as themselves, the others as the characters from U+0100 on.

    Source: `bytes_to_unicode` in github.com/openai/gpt-2, src/encoder.py.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + number): byte for number, byte in enumerate(others)
    }


_BYTE_ALPHABET = _make_byte_alphabet()
_SPELLINGS: tuple[Callable[[str], bytes], ...] = (
    _encode,
    _decode_byte_level,
    _decode_sentencepiece,
)
