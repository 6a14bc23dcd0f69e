"""The dialect of Text Generation Inference, and of the Inference API before it. No I/O."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from hfgen._core import server_errors
from hfgen._core.answers import Chunk, GeneratedText, StreamDetails, attach_raw
from hfgen._core.dialects.base import (
    check_sequence_count,
    find_error,
    malformed_error,
    read_non_chunk,
)
from hfgen._core.dialects.finish_reasons import unfinished_text_error
from hfgen._core.dialects.server_kind import (
    NOT_IN_TGI,
    UNKNOWN,
    Server,
    unsupported_parameter_error,
)
from hfgen._core.errors import IncompleteGenerationError, MalformedAnswerError
from hfgen._core.headers import NO_HEADERS, Headers
from hfgen._core.request import count_sequences, encode_json, resolve_sampling
from hfgen._core.server_json import DECODE_ERRORS, RepairingDecoder, TextPiece, decode_or_repair

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hfgen._core.errors import HfgenError
    from hfgen._core.sse import Event

_T = TypeVar("_T")


class _TokenText(msgspec.Struct, gc=False):
    text: str
    special: bool = False


class _ChunkText(msgspec.Struct, gc=False):
    """The fields of a chunk that `only_text` needs. Other fields are skipped, valid or not."""

    token: _TokenText
    generated_text: str | None = None


class _EndDetails(msgspec.Struct, gc=False):
    finish_reason: object = None


class _End(msgspec.Struct, gc=False):
    """The fields of an answer, or of a last event, that tell whether its text is whole."""

    details: _EndDetails | None = None
    error: object = None


class _ChunkDetails(msgspec.Struct, gc=False):
    details: StreamDetails | None = None


_IGNORED = frozenset(NOT_IN_TGI)
# Each is made once, since making a decoder takes long.
_chunk = msgspec.json.Decoder(Chunk)
_text: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_ChunkText)
_details = msgspec.json.Decoder(_ChunkDetails)
_answer = msgspec.json.Decoder(GeneratedText)
_end = msgspec.json.Decoder(_End)
_items = msgspec.json.Decoder(list[msgspec.Raw])


class TGI:
    """The dialect: bodies are `{inputs, parameters, stream}`, answers objects, lists, or events.

    Args:
        request: The normalised request.
        server: What is known of the server. Others than TGI speak the dialect too: transformers
            pipelines behind the Inference Toolkit, or behind the Inference API.
    """

    def __init__(
        self, request: Mapping[str, Any] = MappingProxyType({}), server: Server = UNKNOWN
    ) -> None:
        self._request = request
        self._server = server
        self._parameters: Mapping[str, Any] = request.get("parameters") or {}
        self._sequence_count = count_sequences(request)

    def encode_body(self, *, stream: bool) -> bytes:
        if self._server.kind == "tgi" and not _IGNORED.isdisjoint(self._parameters):
            _refuse_ignored(self._parameters)
        # Always with `do_sample`: TGI draws tokens if `parameters` is absent, and transformers
        # pipelines draw them unless the request says otherwise.
        parameters = resolve_sampling(self._parameters)
        return encode_json({**self._request, "parameters": parameters, "stream": stream})

    def read_answers(self, body: bytes, headers: Headers = NO_HEADERS) -> list[GeneratedText]:
        try:
            answers, items = decode_or_repair(_decode_answers, body)
        except DECODE_ERRORS as error:
            if report := find_error(body):
                raise server_errors.make_status_error(report, headers=headers, body=body) from None
            raise malformed_error(body, f"the answer is no generation ({error})") from None
        if not answers:
            raise malformed_error(body, "the answer holds no generation")
        for answer, item in zip(answers, items, strict=True):
            if (failure := _find_failure(item, answer.generated_text, headers)) is not None:
                raise failure
        if self._sequence_count > 1:
            check_sequence_count(len(answers), self._sequence_count, MalformedAnswerError)
        return answers

    def make_event_reader(
        self, headers: Headers = NO_HEADERS, *, only_text: bool = False
    ) -> TGIEvents:
        return TGIEvents(headers, only_text=only_text, sequence_count=self._sequence_count)


class TGIEvents:
    """The reader of the events of one stream; the event with the generated text is the last.

    Events after it are ignored.
    """

    __slots__ = (
        "_decoder",
        "_headers",
        "_only_text",
        "_sequence_count",
        "details",
        "is_complete",
    )

    def __init__(
        self, headers: Headers = NO_HEADERS, *, only_text: bool = False, sequence_count: int = 1
    ) -> None:
        self._headers = headers
        self._only_text = only_text
        self._sequence_count = sequence_count
        self._decoder: RepairingDecoder[Any] = (
            RepairingDecoder(_text.decode, partial(_decode_leniently, _text), _find_text)
            if only_text
            else RepairingDecoder(_chunk.decode, _decode_chunk, _find_text)
        )
        self.details: StreamDetails | None = None
        self.is_complete = False

    def read(self, events: Iterable[Event]) -> Iterator[Chunk]:  # noqa: C901 - one loop
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
                if (failure := _find_failure(data, "", self._headers)) is not None:
                    if chunk.token.text:
                        # A token as any other: it does not complete the text.
                        raw = {} if only_text else {"_raw": None}
                        yield msgspec.structs.replace(chunk, generated_text=None, **raw)
                    raise failure
                if self._sequence_count > 1:
                    # A stream in this dialect has one sequence.
                    yield chunk
                    check_sequence_count(1, self._sequence_count, IncompleteGenerationError)
                self.is_complete = True
                decode = self._decoder.end()
                self.details = _read_details(data) if only_text else chunk.details
            yield chunk

    def take_rest(self) -> Sequence[Chunk]:
        return ()


def _find_failure(data: bytes, text: str, headers: Headers) -> HfgenError | None:
    """Return the error to raise if an answer, or a last event, says that its text is not whole."""
    if b'"error"' not in data and b'"finish_reason"' not in data:
        return None
    try:
        end = decode_or_repair(_end.decode, data)
    except DECODE_ERRORS:
        # What is wrong there is in a field that the caller does not need.
        return None
    return unfinished_text_error(
        end.details and end.details.finish_reason,
        end.error,
        text=text,
        headers=headers,
        body=data,
    )


def _refuse_ignored(parameters: Mapping[str, Any]) -> None:
    """Raise `InvalidRequestError` for a parameter that TGI would ignore in silence."""
    for name, remedy in NOT_IN_TGI.items():
        value = parameters.get(name)
        if value is not None and not (name == "num_return_sequences" and value == 1):
            raise unsupported_parameter_error(name, "tgi", remedy)


def _decode_answers(body: bytes) -> tuple[list[GeneratedText], list[bytes]]:
    """Return the answers in a body, and the JSON of each."""
    items = _items.decode(body) if body.lstrip()[:1] == b"[" else [body]
    items = [bytes(item) for item in items]
    return [attach_raw(_decode_leniently(_answer, item), item) for item in items], items


def _decode_chunk(data: bytes) -> Chunk:
    return attach_raw(_decode_leniently(_chunk, data), data)


def _find_text(document: Any) -> Iterator[TextPiece]:
    """Yield the place of the text of a chunk, unless it is no part of the generated text."""
    token = document.get("token") if isinstance(document, dict) else None
    if isinstance(token, dict) and not token.get("special"):
        yield TextPiece(token, is_last=document.get("generated_text") is not None)


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
