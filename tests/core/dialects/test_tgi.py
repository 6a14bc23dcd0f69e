"""TGI's dialect: bodies, answers, events."""

import json

import pytest

from helpers.sampled_parameters import SAMPLED
from hfgen import InvalidRequestError, MalformedAnswerError, MalformedStreamError
from hfgen._core.dialects.server_kind import Server
from hfgen._core.dialects.tgi import TGI
from hfgen._core.sse import Event

TOKEN = {"id": 7, "text": " the", "logprob": -0.5, "special": False}
CHUNK = {"index": 1, "token": TOKEN, "generated_text": None, "details": None}


def read(*events):
    reader = TGI().make_event_reader()
    payloads = [e if isinstance(e, bytes) else json.dumps(e).encode() for e in events]
    return reader, [next(reader.read([Event(b"", data)]), None) for data in payloads]


class TestBody:
    @pytest.mark.parametrize("stream", [True, False])
    def test_has_the_field_stream(self, stream):
        body = TGI({"inputs": "x", "parameters": {"top_k": 1}}).encode_body(stream=stream)
        assert json.loads(body) == {
            "inputs": "x",
            "parameters": {"top_k": 1, "do_sample": True},
            "stream": stream,
        }

    @pytest.mark.parametrize(("parameters", "is_drawn"), SAMPLED)
    @pytest.mark.parametrize("stream", [True, False])
    def test_says_whether_tokens_are_drawn(self, parameters, is_drawn, stream):
        request = (
            {"inputs": "x"} if parameters is None else {"inputs": "x", "parameters": parameters}
        )
        sent = json.loads(TGI(request).encode_body(stream=stream))["parameters"]
        given = parameters or {}
        assert sent.pop("do_sample") is is_drawn
        given = {name: value for name, value in given.items() if name != "do_sample"}
        if not is_drawn:
            # With these, TGI would draw tokens.
            drawing = {"temperature", "top_k", "top_p", "typical_p"}
            given = {name: value for name, value in given.items() if name not in drawing}
        assert sent == given

    @pytest.mark.parametrize("parameters", [{"num_return_sequences": 2}, {"max_time": 1.5}])
    @pytest.mark.parametrize("stream", [True, False])
    def test_with_what_tgi_ignores_is_refused(self, parameters, stream):
        request = {"inputs": "x", "parameters": parameters}
        (name,) = parameters
        with pytest.raises(InvalidRequestError, match=rf"{name}: TGI does not take it .*; "):
            TGI(request, Server("tgi")).encode_body(stream=stream)
        # Transformers pipelines speak the dialect too, and take these.
        sent = json.loads(TGI(request).encode_body(stream=stream))["parameters"]
        assert sent.items() >= parameters.items()

    def test_with_one_sequence_is_sent(self):
        request = {"inputs": "x", "parameters": {"num_return_sequences": 1}}
        assert TGI(request, Server("tgi")).encode_body(stream=False)

    def test_is_utf8(self):
        assert '"é\u2028👩"'.encode() in TGI({"inputs": "é\u2028👩"}).encode_body(stream=False)

    def test_with_a_lone_surrogate_is_refused(self):
        with pytest.raises(InvalidRequestError):
            TGI({"inputs": "\ud83d"}).encode_body(stream=False)


class TestAnswers:
    @pytest.mark.parametrize(
        ("body", "texts"),
        [
            (b'{"generated_text": "a"}', ["a"]),
            (b'[{"generated_text": "a"}]', ["a"]),
            (b'[{"generated_text": "a"}, {"generated_text": "b"}]', ["a", "b"]),
            (b' \r\n\t[{"generated_text": "a"}] \n', ["a"]),
            (b'\n{"generated_text": ""}', [""]),
        ],
    )
    def test_are_always_a_list(self, body, texts):
        assert [answer.generated_text for answer in TGI().read_answers(body)] == texts

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b" ",
            b"[]",
            b"{}",
            b"null",
            b"5",
            b'"text"',
            b"[5]",
            b"[[]]",
            b'{"generated_text": null}',
            b'{"generated_text": 5}',
            b'{"generated_text": "a',
            b'{"generated_text": "a"} {"generated_text": "b"}',
            b"<html>",
            b"\xff\xfe",
            b"{" * 100_000,
            b"[" * 100_000,
        ],
        ids=lambda body: repr(body[:30]),
    )
    def test_invalid_answers_are_shown_in_the_error(self, body):
        with pytest.raises(MalformedAnswerError) as caught:
            TGI().read_answers(body)
        assert repr(body[:20])[:-1] in str(caught.value)
        assert len(str(caught.value)) < 1200
        assert not isinstance(caught.value, MalformedStreamError)

    def test_unknown_fields_and_words_and_nulls(self):
        payload = {
            "generated_text": "a",
            "details": {
                "finish_reason": "because",
                "generated_tokens": 1,
                "seed": 2**64 - 1,
                "prefill": [{"id": 1, "text": "<s>", "logprob": None, "new": 1}],
                "tokens": [{"id": 2, "text": "a", "logprob": None, "special": False, "new": [1]}],
                "new": {"a": None},
            },
            "new": True,
        }
        [answer] = TGI().read_answers(json.dumps(payload).encode())
        assert answer.details.finish_reason == "because"
        assert answer.details.seed == 2**64 - 1
        assert answer.details.tokens[0].logprob is None
        assert answer.to_dict() == payload


class TestEvents:
    def test_the_one_with_the_generated_text_is_the_last(self):
        reader, [chunk] = read(CHUNK)
        assert chunk.token.text == " the"
        assert not reader.is_complete
        reader, _ = read(CHUNK, {**CHUNK, "generated_text": " the"})
        assert reader.is_complete

    def test_an_empty_generated_text_ends_the_stream(self):
        reader, _ = read({**CHUNK, "generated_text": ""})
        assert reader.is_complete

    @pytest.mark.parametrize("done", [b"[DONE]", b" [DONE]", b"[DONE] "])
    def test_done_counts_as_an_end(self, done):
        reader, chunks = read(CHUNK, done)
        assert chunks[1] is None
        assert reader.is_complete

    def test_empty_data_is_ignored(self):
        reader, chunks = read(b"", b" ")
        assert chunks == [None, None]
        assert not reader.is_complete

    @pytest.mark.parametrize(
        "chunk",
        [
            {"token": {"text": "a"}},
            {"token": {"text": ""}},
            {"token": {**TOKEN, "logprob": None}},
            {"token": {**TOKEN, "id": None}},
            {"token": {**TOKEN, "new": {}}, "new": []},
            {**CHUNK, "index": None},
            {**CHUNK, "index": 0},
            {**CHUNK, "top_tokens": [TOKEN, {**TOKEN, "logprob": None}]},
            {**CHUNK, "top_tokens": None},
            {**CHUNK, "top_tokens": []},
            {**CHUNK, "details": {"finish_reason": ""}},
            {**CHUNK, "details": {"finish_reason": None, "generated_tokens": 1, "seed": None}},
            {**CHUNK, "details": {"finish_reason": "new", "input_length": 3, "new": 1}},
        ],
    )
    def test_optional_and_unknown_fields(self, chunk):
        _, [read_chunk] = read(chunk)
        assert read_chunk.to_dict() == chunk

    @pytest.mark.parametrize(
        "data",
        [
            b"{",
            b"5",
            b'["ping"]',
            b'{"new": "text"}',
            b"hello",
            b'{"token": {"text": 5}}',
            b'{"token": {"text": "a", "special": null, "logprob": %d}}' % 10**400,
            b'{"token": {"text": "a"}}{',
            b"[done]",
            b"{" * 100_000,
            b"x" * 100_000,
        ],
        ids=lambda data: repr(data[:30]),
    )
    def test_malformed_events_are_shown_in_the_error(self, data):
        with pytest.raises(MalformedStreamError) as caught:
            read(CHUNK, data)
        assert repr(data[:20])[:-1] in str(caught.value)
        assert len(str(caught.value)) < 1200

    def test_invalid_utf8_is_shown_as_bytes(self):
        with pytest.raises(MalformedStreamError, match=r"\\xff"):
            read(b'{"token": {"text": "\xff')

    def test_invalid_utf8_in_an_unknown_field_is_ignored_or_an_error(self):
        try:
            _, [chunk] = read(b'{"token": {"text": "a"}, "new": "\xff"}')
        except MalformedStreamError:
            return
        assert chunk.to_dict()["token"] == {"text": "a"}
        assert "other" not in chunk
        assert chunk.get("other") is None
        chunk.to_json()
