"""`decode_json`, `decode_or_repair`, `RepairingDecoder`: JSON as servers write it. No I/O.

Python's `json` writes `NaN` and `Infinity`. JavaScript cuts texts between the two halves of a
character beyond U+FFFF. Some servers begin a body with a byte order mark, or send bytes that are
no UTF-8. msgspec refuses all these. Only what it refuses is repaired, as a browser and Python's
`json` read it: bytes are decoded as the WHATWG's "UTF-8 decode" says (invalid ones become U+FFFD, a
byte order mark is dropped; https://encoding.spec.whatwg.org/#utf-8-decode), half a character is
U+FFFD, and a number that JSON does not have is null, as JavaScript and Rust's serde_json write it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_T = TypeVar("_T")

# What decoding JSON may raise: msgspec has no error of its own for UTF-8 that is invalid.
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode_json(data: bytes) -> Any:
    """Return the document that the JSON stands for, repaired if need be.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError, RecursionError: This is no JSON.
    """
    try:
        return decode_or_repair(msgspec.json.decode, data)
    except msgspec.ValidationError:
        # A number that no float can hold.
        return msgspec.json.decode(repair_json(data) or data)


def decode_or_repair(
    decode: Callable[[bytes], _T], data: bytes, edit: Callable[[Any], None] = lambda _: None
) -> _T:
    """Return `decode(data)`; if msgspec cannot read the data, repair them first.

    Args:
        decode: Decodes JSON by means of msgspec.
        data: The JSON.
        edit: What `repair_json` takes.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError, RecursionError: This is no JSON, or not what
            `decode` expects.
    """
    try:
        return decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # JSON of another type than `decode` expects cannot be repaired.
        repaired = None if isinstance(error, msgspec.ValidationError) else repair_json(data, edit)
        if repaired is None:
            raise
    return decode(repaired)


def repair_json(data: bytes, edit: Callable[[Any], None] = lambda _: None) -> bytes | None:
    """Return JSON that msgspec can read, None if the data cannot be repaired.

    Args:
        data: The JSON.
        edit: Changes the document in place. Its strings may hold halves of characters.

    Raises:
        RecursionError: The JSON is nested too deeply.
    """
    import json  # noqa: PLC0415 - slow to import, rarely needed

    try:
        document = json.loads(
            data.decode("utf-8-sig", "replace"),
            parse_int=_parse_integer,
            parse_float=_parse_float,
            parse_constant=lambda _: None,
        )
    except ValueError:
        return None
    edit(document)
    text = json.dumps(document, ensure_ascii=False)
    # Joins two halves, and replaces one that is alone.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


class TextPiece(NamedTuple):
    """A piece of a generated text in a decoded event.

    Attributes:
        holder: The object that has the piece as its `text`.
        number: The number of the text, where one stream has several.
        is_last: Whether no other piece of this text follows.
    """

    holder: dict[str, Any]
    number: int = 0
    is_last: bool = False


class RepairingDecoder(Generic[_T]):
    """Decodes the events of one stream; repairs those that msgspec cannot read.

    A character that comes in two halves is whole in the event with the second half: the first is
    kept back until then. If the next piece of the text does not begin with the second half, the
    first becomes U+FFFD.

    Args:
        decode_fast: Decodes the usual events.
        decode: Decodes these, and those that `decode_fast` refuses for the types of their fields.
        find_texts: Yields the pieces of generated texts in an event.

    Attributes:
        decode_fast: Decodes the next event, or raises one of `DECODE_ERRORS`. Then pass the event
            to `decode`.
    """

    __slots__ = ("_decode", "_fast", "_find_texts", "_halves", "decode_fast")

    def __init__(
        self,
        decode_fast: Callable[[bytes], _T],
        decode: Callable[[bytes], _T],
        find_texts: Callable[[Any], Iterator[TextPiece]],
    ) -> None:
        self.decode_fast = self._fast = decode_fast
        self._decode = decode
        self._find_texts = find_texts
        # The first halves that are kept back, by the number of the text.
        self._halves: dict[int, str] = {}

    def decode(self, data: bytes) -> _T:
        """Decode an event that `decode_fast` refused.

        Raises:
            msgspec.DecodeError, UnicodeDecodeError, RecursionError: This is no JSON, or not what
                is expected.
        """
        if self._halves:
            repaired = repair_json(data, self._join_halves)
            event = self._decode(data if repaired is None else repaired)
        else:
            event = decode_or_repair(self._decode, data, self._join_halves)
        self.decode_fast = _refuse if self._halves else self._fast
        return event

    def end(self) -> Callable[[bytes], _T]:
        """Return a `decode_fast` that refuses all further events."""
        self.decode_fast = _refuse
        return _refuse

    def _join_halves(self, document: Any) -> None:
        for holder, number, is_last in self._find_texts(document):
            if isinstance(text := holder.get("text"), str):
                text = self._halves.pop(number, "") + text
                if not is_last and "\ud800" <= text[-1:] <= "\udbff":
                    self._halves[number] = text[-1]
                    text = text[:-1]
                holder["text"] = text


def _refuse(_: bytes) -> Any:
    raise msgspec.DecodeError("this event is not for the fast decoder")


def _parse_integer(digits: str) -> int | float | None:
    try:
        return int(digits)
    except ValueError:
        # `int` limits the number of digits, because it takes quadratic time.
        return _parse_float(digits)


def _parse_float(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None
