"""The dialect of Text Generation Inference, and of the Inference API before it. No I/O."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from hfgen._core import server_errors
from hfgen._core.answers import Chunk, GeneratedText, with_raw
from hfgen._core.dialects.base import UNREADABLE, find_error, malformed_error, read_non_chunk
from hfgen._core.headers import NO_HEADERS, Headers
from hfgen._core.request import encode_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hfgen._core.sse import Event

_T = TypeVar("_T")


class _TokenText(msgspec.Struct, gc=False):
    text: str
    special: bool = False


class _ChunkText(msgspec.Struct, gc=False):
    """What of a chunk is read where only its text is asked for; what else it has may be wrong."""

    token: _TokenText
    generated_text: str | None = None


_chunk = msgspec.json.Decoder(Chunk)
_text: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_ChunkText)
_answer = msgspec.json.Decoder(GeneratedText)
_items = msgspec.json.Decoder(list[msgspec.Raw])


class TGI:
    """`{inputs, parameters, stream}` in; objects, lists of them, or events out.

    Args:
        request: The normalised request.
    """

    def __init__(self, request: Mapping[str, Any] = MappingProxyType({})) -> None:
        self._request = request

    def body(self, *, stream: bool) -> bytes:
        return encode_json({**self._request, "stream": stream})

    def answers(self, body: bytes, headers: Headers = NO_HEADERS) -> list[GeneratedText]:
        try:
            items = _items.decode(body) if body.lstrip()[:1] == b"[" else [body]
            if not items:
                raise malformed_error(body, "the answer holds no generation")
            return [with_raw(_tolerant(_answer, item), bytes(item)) for item in items]
        except UNREADABLE as error:
            if fault := find_error(body):
                raise server_errors.error_from(fault, headers=headers, body=body) from None
            raise malformed_error(body, f"the answer is no generation ({error})") from None

    def events(self, headers: Headers = NO_HEADERS, *, only_text: bool = False) -> TGIEvents:
        return TGIEvents(headers, only_text=only_text)


class TGIEvents:
    """The events of one stream; the one with the generated text is the last."""

    __slots__ = ("_headers", "_is_whole", "complete")

    def __init__(self, headers: Headers = NO_HEADERS, *, only_text: bool = False) -> None:
        self._headers = headers
        self._is_whole = not only_text
        self.complete = False

    def read(self, events: Iterable[Event]) -> Iterator[Chunk]:
        is_whole = self._is_whole
        decoder = _chunk if is_whole else _text
        decode = decoder.decode
        # Every token goes through it.
        for event in events:
            data = event.data
            try:
                try:
                    chunk = decode(data)
                except msgspec.ValidationError:
                    chunk = _tolerant(decoder, data)
            except UNREADABLE as error:
                if read_non_chunk(event, self._headers, f"no chunk ({error})"):
                    self.complete = True
                continue
            if is_whole:
                with_raw(chunk, data)
            if chunk.generated_text is not None:
                self.complete = True
            yield chunk

    def rest(self) -> Sequence[Chunk]:
        return ()


def _tolerant(decoder: msgspec.json.Decoder[_T], data: bytes | msgspec.Raw) -> _T:
    """Decode; a null where there ought to be a value stands for its absence."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        said = msgspec.json.decode(data)
        if not isinstance(said, dict) or None not in _leaves(said):
            raise
        if decoder is not _answer and said.get("generated_text") is not None:
            said.setdefault("token", None)
            said["token"] = said["token"] or {"text": ""}
        # Not by `convert`: of a number beyond a float it makes a SystemError in msgspec 0.19.
        return decoder.decode(msgspec.json.encode(_without_nulls(said)))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    else:
        yield value
