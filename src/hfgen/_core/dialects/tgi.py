"""The dialect of Text Generation Inference, and of the Inference API before it. No I/O."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from hfgen._core import server_errors
from hfgen._core.answers import Chunk, GeneratedText, attach_raw
from hfgen._core.dialects.base import find_error, malformed_error, read_non_chunk
from hfgen._core.headers import NO_HEADERS, Headers
from hfgen._core.request import encode_json
from hfgen._core.server_json import DECODE_ERRORS, RepairingDecoder, TextPiece, decode_or_repair

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hfgen._core.sse import Event

_T = TypeVar("_T")


class _TokenText(msgspec.Struct, gc=False):
    text: str
    special: bool = False


class _ChunkText(msgspec.Struct, gc=False):
    """The fields of a chunk that `only_text` needs. Other fields are skipped, valid or not."""

    token: _TokenText
    generated_text: str | None = None


# Each is made once, since making a decoder takes long.
_chunk = msgspec.json.Decoder(Chunk)
_text: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_ChunkText)
_answer = msgspec.json.Decoder(GeneratedText)
_items = msgspec.json.Decoder(list[msgspec.Raw])


class TGI:
    """The dialect: bodies are `{inputs, parameters, stream}`, answers objects, lists, or events.

    Args:
        request: The normalised request.
    """

    def __init__(self, request: Mapping[str, Any] = MappingProxyType({})) -> None:
        self._request = request

    def encode_body(self, *, stream: bool) -> bytes:
        return encode_json({**self._request, "stream": stream})

    def read_answers(self, body: bytes, headers: Headers = NO_HEADERS) -> list[GeneratedText]:
        try:
            answers = decode_or_repair(_decode_answers, body)
        except DECODE_ERRORS as error:
            if report := find_error(body):
                raise server_errors.make_status_error(report, headers=headers, body=body) from None
            raise malformed_error(body, f"the answer is no generation ({error})") from None
        if not answers:
            raise malformed_error(body, "the answer holds no generation")
        return answers

    def make_event_reader(
        self, headers: Headers = NO_HEADERS, *, only_text: bool = False
    ) -> TGIEvents:
        return TGIEvents(headers, only_text=only_text)


class TGIEvents:
    """The reader of the events of one stream; the event with the generated text is the last.

    Events after it are ignored.
    """

    __slots__ = ("_decoder", "_headers", "_only_text", "is_complete")

    def __init__(self, headers: Headers = NO_HEADERS, *, only_text: bool = False) -> None:
        self._headers = headers
        self._only_text = only_text
        self._decoder: RepairingDecoder[Any] = (
            RepairingDecoder(_text.decode, partial(_decode_leniently, _text), _find_text)
            if only_text
            else RepairingDecoder(_chunk.decode, _decode_chunk, _find_text)
        )
        self.is_complete = False

    def read(self, events: Iterable[Event]) -> Iterator[Chunk]:
        only_text = self._only_text
        decode = self._decoder.decode_fast
        # Runs once for every token, so it makes as few calls as it can.
        for event in events:
            data = event.data
            try:
                chunk = decode(data)
            except DECODE_ERRORS:
                if self.is_complete:
                    continue
                try:
                    chunk = self._decoder.decode(data)
                except DECODE_ERRORS as error:
                    if read_non_chunk(event, self._headers, f"no chunk ({error})"):
                        self.is_complete = True
                        decode = self._decoder.end()
                    continue
                decode = self._decoder.decode_fast
            else:
                if not only_text:
                    attach_raw(chunk, data)
            if chunk.generated_text is not None:
                self.is_complete = True
                decode = self._decoder.end()
            yield chunk

    def take_rest(self) -> Sequence[Chunk]:
        return ()


def _decode_answers(body: bytes) -> list[GeneratedText]:
    items = _items.decode(body) if body.lstrip()[:1] == b"[" else [body]
    return [attach_raw(_decode_leniently(_answer, item), bytes(item)) for item in items]


def _decode_chunk(data: bytes) -> Chunk:
    return attach_raw(_decode_leniently(_chunk, data), data)


def _find_text(document: Any) -> Iterator[TextPiece]:
    """Yield the place of the text of a chunk, unless it is no part of the generated text."""
    token = document.get("token") if isinstance(document, dict) else None
    if isinstance(token, dict) and not token.get("special"):
        yield TextPiece(token, is_last=document.get("generated_text") is not None)


def _decode_leniently(decoder: msgspec.json.Decoder[_T], data: bytes | msgspec.Raw) -> _T:
    """Decode; a field with a null that its type does not allow counts as absent."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        document = msgspec.json.decode(data)
        if not isinstance(document, dict) or None not in _iterate_leaves(document):
            raise
        if decoder is not _answer and document.get("generated_text") is not None:
            document["token"] = document.get("token") or {"text": ""}
        # Not `msgspec.convert`: msgspec 0.19 raises SystemError for a number too big for a float.
        return decoder.decode(msgspec.json.encode(_remove_nulls(document)))


def _remove_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _remove_nulls(v) for k, v in value.items() if v is not None}
    return [_remove_nulls(item) for item in value] if isinstance(value, list) else value


def _iterate_leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _iterate_leaves(item)
    else:
        yield value
