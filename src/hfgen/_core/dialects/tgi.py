"""The dialect of Text Generation Inference, and of the Inference API before it. No I/O."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from hfgen._core import server_errors
from hfgen._core.answers import Chunk, GeneratedText, StreamDetails, attach_raw
from hfgen._core.dialects.base import DECODE_ERRORS, find_error, malformed_error, read_non_chunk
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
    """The fields of a chunk that `only_text` needs. Other fields are skipped, valid or not."""

    token: _TokenText
    generated_text: str | None = None


class _ChunkDetails(msgspec.Struct, gc=False):
    details: StreamDetails | None = None


# Each is made once, since making a decoder takes long.
_chunk = msgspec.json.Decoder(Chunk)
_text: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_ChunkText)
_details = msgspec.json.Decoder(_ChunkDetails)
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
            items = _items.decode(body) if body.lstrip()[:1] == b"[" else [body]
            if not items:
                raise malformed_error(body, "the answer holds no generation")
            return [attach_raw(_decode_leniently(_answer, item), bytes(item)) for item in items]
        except DECODE_ERRORS as error:
            if report := find_error(body):
                raise server_errors.make_status_error(report, headers=headers, body=body) from None
            raise malformed_error(body, f"the answer is no generation ({error})") from None

    def make_event_reader(
        self, headers: Headers = NO_HEADERS, *, only_text: bool = False
    ) -> TGIEvents:
        return TGIEvents(headers, only_text=only_text)


class TGIEvents:
    """The reader of the events of one stream; the event with the generated text is the last."""

    __slots__ = ("_headers", "_only_text", "details", "is_complete")

    def __init__(self, headers: Headers = NO_HEADERS, *, only_text: bool = False) -> None:
        self._headers = headers
        self._only_text = only_text
        self.details: StreamDetails | None = None
        self.is_complete = False

    def read(self, events: Iterable[Event]) -> Iterator[Chunk]:
        only_text = self._only_text
        decoder = _text if only_text else _chunk
        decode = decoder.decode
        # Runs once for every token, so it makes as few calls as it can.
        for event in events:
            data = event.data
            try:
                try:
                    chunk = decode(data)
                except msgspec.ValidationError:
                    chunk = _decode_leniently(decoder, data)
            except DECODE_ERRORS as error:
                if read_non_chunk(event, self._headers, f"no chunk ({error})"):
                    self.is_complete = True
                continue
            if not only_text:
                attach_raw(chunk, data)
            if chunk.generated_text is not None:
                self.is_complete = True
                self.details = _read_details(data) if only_text else chunk.details
            yield chunk

    def take_rest(self) -> Sequence[Chunk]:
        return ()


def _read_details(data: bytes) -> StreamDetails | None:
    """Return the details in a chunk of which only the text was decoded; None if it has none."""
    try:
        return _decode_leniently(_details, data).details
    except DECODE_ERRORS:
        # `only_text` does not look at the other fields, valid or not.
        return None


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
