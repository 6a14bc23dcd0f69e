"""Properties that hold for all bytes of a server, in any pieces. For hypothesis and `make fuzz`."""

import gc
import json
import math
import pickle
from urllib.parse import urlsplit

import urllib3

from helpers.conversations import StoppedClock, accept_with
from hfgen import ConnectError, FetchRequest, FetchResponse, HfgenError
from hfgen._core import server_errors
from hfgen._core.answers import Answer
from hfgen._core.body import (
    EventBody,
    JsonBody,
    RawBody,
    answers_from_chunks,
    select_chunk,
    select_text,
)
from hfgen._core.conversation import Opened, Peek, Read, Send, converse
from hfgen._core.dialects.completions import Completions
from hfgen._core.dialects.server_kind import Server
from hfgen._core.dialects.tgi import TGI
from hfgen._core.errors import IncompleteGenerationError, StatusError
from hfgen._core.headers import Headers
from hfgen._core.resume import Resumption
from hfgen._core.retry import Retry
from hfgen._core.url import may_carry_credentials
from hfgen._core.verbs import Chunks, RawBytes, Run
from hfgen.types import Chunk, GeneratedText

_ALL = {"details": True, "top_n_tokens": 2, "stop": ["a"], "return_full_text": True}
DIALECTS = [
    TGI(),
    Completions(),
    Completions({"inputs": "Once", "parameters": _ALL}, Server("vllm")),
]

# Bytes at most that are fed one by one: each takes a call, and other inputs need the time.
_WINDOW = 200
# The longest message: hundreds of bytes, each shown as `\xff`, and a few words.
_MESSAGE = 2500
_REQUEST = FetchRequest(
    method="POST",
    url="https://a.example/models/x",
    headers=Headers({"accept": "*/*", "authorization": "Bearer hf_key"}),
)
_PATIENT = Retry(max_retries=1, max_wait=math.inf, wait_for_model=math.inf)
# The longest wait in seconds that all platforms can sleep.
_LONGEST = 4_000_000


def cut_at(body, ends):
    bounds = sorted(min(end, len(body)) for end in ends)
    return [body[a:b] for a, b in zip([0, *bounds], [*bounds, len(body)], strict=True)]


def cut_in_ways(body, ends):
    """Return the body in one piece, in these pieces, and from the last end on byte by byte."""
    start = max(0, min(max(ends, default=0), len(body) - _WINDOW))
    single = range(start, min(start + _WINDOW, len(body)))
    return [[body], cut_at(body, ends), cut_at(body, single)]


def assert_same(outcomes):
    first, *others = outcomes
    for other in others:
        assert other == first
    return first


def check_events(dialect, body, ends, limit=None):
    """Check a stream of events: its items, its error and its text."""
    limits = {} if limit is None else {"max_event_bytes": limit}
    ways = cut_in_ways(body, ends)

    def read(select, pieces):
        decoder = EventBody(dialect, select, **limits)
        return _read_outcome(decoder, pieces, limit)

    chunks, error = assert_same([read(select_chunk, pieces) for pieces in ways])
    texts, text_error = assert_same([read(select_text, pieces) for pieces in ways[:2]])
    expected_texts = _texts_of(chunks)
    if error is None:
        assert (texts, text_error) == (expected_texts, None)
    else:
        # A fault in a chunk outside its text is no error for a caller that reads texts only.
        assert texts[: len(expected_texts)] == expected_texts
        assert error["text"] == "".join(expected_texts)
    if text_error is not None:
        assert text_error["text"] == "".join(texts)
    _check_chunks(chunks)


def check_whole_answer(dialect, body, ends):
    """Check one JSON answer to a request for a stream."""
    ways = cut_in_ways(body, ends)
    chunks, error = assert_same(
        [_read_outcome(JsonBody(dialect, select_chunk), pieces) for pieces in ways]
    )
    texts, text_error = assert_same(
        [_read_outcome(JsonBody(dialect, select_text), pieces) for pieces in ways]
    )
    assert (texts, text_error) == (_texts_of(chunks), error)
    _check_chunks(chunks)


def check_bytes(body, ends):
    """Check that bytes are passed on unchanged."""
    for pieces in cut_in_ways(body, ends):
        items, error = _read_outcome(RawBody(), pieces)
        assert b"".join(items) == body
        assert error is None


def check_answers(dialect, body):
    """Check one answer, or several."""
    try:
        found = dialect.read_answers(body)
    except HfgenError as error:
        _check_error(error)
        return
    assert found
    for answer in found:
        assert isinstance(answer, GeneratedText)
        _check_answer(answer)


def check_error_body(status, headers, body):
    """Check the error that the body of a failed answer becomes."""
    error = server_errors.make_status_error(
        server_errors.parse_body_error(body), status=status, headers=headers, body=body
    )
    assert isinstance(error, StatusError)
    assert status is None or error.status == status
    _check_error(error)
    str(error).encode()


def check_conversation(dialect, status, headers, body, ends, *, breaks=False):
    """Check a whole conversation with each verb."""
    ways = cut_in_ways(body, ends)
    for kind in (accept_with(Chunks, dialect), accept_with(Run, dialect)):
        items, _ = assert_same([_converse(kind, status, headers, w, breaks) for w in ways])
        for item in items:
            if isinstance(item, Answer):
                _check_answer(item)
    read = [_converse(accept_with(RawBytes, dialect), status, headers, w, breaks) for w in ways]
    assert_same([(b"".join(items), error) for items, error in read])


class _Server:
    """Answers every request in the same way; the body comes once."""

    def __init__(self, status, headers, pieces, break_error):
        self._status = status
        self._headers = headers
        self._remaining = iter(pieces)
        self._break_error = break_error

    def reply(self, step):
        match step:
            case Send():
                _check_request(step.request)
                return FetchResponse(status=self._status, headers=self._headers)
            case Peek():
                return self._next()
            case Read():
                return b"".join(iter(self._next, None))[: step.limit]
        return 0.0

    def _next(self):
        piece = next(self._remaining, None)
        if piece is None and self._break_error:
            raise self._break_error
        return piece

    def rest(self):
        return [*self._remaining]


def _converse(kind, status, headers, pieces, breaks):
    """Drive a conversation and read its stream; return the items and a description of the error."""
    break_error = ConnectError("it broke") if breaks else None
    server = _Server(status, headers, pieces, break_error)
    try:
        result = _drive(converse(_REQUEST, Retry(max_retries=0), kind, StoppedClock()), server)
    except HfgenError as error:
        # Six redirects, in whose URLs a byte takes three characters.
        return [], _describe_error(
            error, 18 * len(headers.get("location", "").encode("utf-8", "replace"))
        )
    if not isinstance(result, Opened):
        return result, None
    return _read_outcome(result.decoder, server.rest(), break_error=break_error, ready=result.ready)


def _drive(steps, server):
    try:
        step = next(steps)
        while True:
            try:
                reply = server.reply(step)
            except ConnectError as error:
                step = steps.throw(error)
            else:
                step = steps.send(reply)
    except StopIteration as stop:
        return stop.value


def _read_outcome(decoder, pieces, limit=None, break_error=None, ready=()):
    """Return the items of the pieces, and a description of the error that ends them."""
    items, error = [], None
    try:
        items.extend(ready)
        for index, piece in enumerate(pieces):
            items.extend(decoder.feed(piece))
            if limit is not None and (len(piece) > 1 or not index % 64):
                assert _count_held_bytes(decoder) <= 2 * limit + _MESSAGE
        if break_error is None:
            items.extend(decoder.finish())
        else:
            error = decoder.ending_error(break_error)
    except HfgenError as failure:
        error = failure
    return items, error and _describe_error(error)


def _describe_error(error, slack=0):
    _check_error(error, slack)
    return {"kind": type(error), "args": error.args, **error.__dict__}


def _check_error(error, slack=0):
    assert str(error) == error.message
    assert len(error.message) <= _MESSAGE + slack
    twin = pickle.loads(pickle.dumps(error))
    assert (type(twin), twin.__dict__) == (type(error), error.__dict__)
    if isinstance(error, StatusError):
        assert error.retry_after is None or error.retry_after >= 0
        assert error.request_id is None or isinstance(error.request_id, str)
    for retry in (Retry(), _PATIENT):
        wait = retry.wait(0, error)
        assert wait is None or 0 <= wait <= _LONGEST


def _check_chunks(chunks):
    for chunk in chunks:
        assert isinstance(chunk, Chunk)
        _check_answer(chunk)
    for answer in answers_from_chunks(chunks):
        _check_answer(answer)
    resumption = Resumption({"inputs": "", "parameters": {"stop": ["é a", "b"]}})
    half = len(chunks) // 2
    for chunk in chunks[:half]:
        assert resumption.take_chunk(chunk) is chunk
    break_error = IncompleteGenerationError("broke")
    continuation = resumption.prepare_rest(break_error)
    assert break_error.text == resumption.text
    assert continuation is None or continuation[0]["inputs"] == resumption.text
    for index, chunk in enumerate(chunks[half:], start=half + 1):
        resumed_chunk = resumption.take_chunk(chunk)
        _check_answer(resumed_chunk)
        assert not resumed_chunk.resumed or resumed_chunk.index == index
    assert resumption.text == "".join(_texts_of(chunks))


def _texts_of(chunks):
    return [chunk.token.text for chunk in chunks if not chunk.token.special]


def _check_answer(answer):
    assert type(answer.to_dict()) is dict
    text = answer.to_json()
    text.encode("utf-8", "surrogatepass")
    if len(text) < _MESSAGE:
        json.loads(text)
    twin = pickle.loads(pickle.dumps(answer))
    assert twin == answer
    assert twin.to_json() == text
    repr(answer)
    for key in answer:
        assert key in answer
        _check_parts(answer[key])
    assert "no such key" not in answer
    assert answer.get("no such key") is None


def _check_parts(value):
    if isinstance(value, Answer):
        _check_answer(value)
        assert {*value.keys()} <= value.to_dict().keys() | value._omitted
    elif isinstance(value, list):
        for item in value:
            _check_parts(item)


def _check_request(request):
    """Check the URL of a redirect: all URL parsers must agree on its host."""
    assert request.url.isascii()
    assert request.url.isprintable()
    parts = urlsplit(request.url)
    assert parts.scheme in {"http", "https"}
    assert "@" not in parts.netloc
    try:
        read = urllib3.util.parse_url(request.url)
    except urllib3.exceptions.LocationParseError:
        pass
    else:
        assert (read.host or "").strip("[]").lower() == (parts.hostname or "").lower()
    if not may_carry_credentials(_REQUEST.url, request.url):
        assert "authorization" not in request.headers
    if parts.hostname != "a.example":
        assert "authorization" not in request.headers


def _count_held_bytes(thing):
    """Return how many bytes a decoder holds."""
    visited, pending, total = set(), [thing], 0
    while pending:
        item = pending.pop()
        if id(item) in visited or isinstance(item, type) or callable(item):
            continue
        visited.add(id(item))
        if isinstance(item, bytes | bytearray):
            total += len(item)
        else:
            pending.extend(gc.get_referents(item))
    return total
