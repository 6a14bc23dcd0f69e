"""Answers: read by attribute and by key, and as dicts and JSON."""

import copy
import json
import pickle
from collections.abc import Mapping

import pytest

import hfgen
import hfgen.types
from hfgen._core.dialects.tgi import TGI
from hfgen._core.sse import Event
from hfgen.types import BestOfSequence, Chunk, Details, GeneratedText, PrefillToken, Token

TOKEN = {"id": 7, "text": " a", "logprob": -0.5, "special": False}
SAID = {
    "index": 1,
    "token": {**TOKEN, "new": [1]},
    "top_tokens": [TOKEN, {**TOKEN, "logprob": None}],
    "generated_text": " a",
    "details": {"finish_reason": "length", "generated_tokens": 1, "seed": None, "input_length": 3},
    "future": {"a": None},
}
ANSWER = {
    "generated_text": " a",
    "details": {
        "finish_reason": "length",
        "generated_tokens": 1,
        "seed": 5,
        "prefill": [{"id": 1, "text": "<s>", "logprob": None}],
        "tokens": [TOKEN],
        "best_of_sequences": [
            {
                "generated_text": " b",
                "finish_reason": "eos_token",
                "generated_tokens": 1,
                "seed": 6,
                "prefill": [],
                "tokens": [TOKEN],
            }
        ],
        "top_tokens": [[TOKEN]],
    },
}


@pytest.fixture
def chunk():
    [chunk] = TGI().make_event_reader().read([Event(b"", json.dumps(SAID).encode())])
    return chunk


@pytest.fixture
def answer():
    [answer] = TGI().read_answers(json.dumps(ANSWER).encode())
    return answer


class TestReading:
    def test_by_attribute_and_by_key(self, chunk):
        assert chunk.token.text == chunk["token"]["text"] == " a"
        assert chunk.top_tokens[1].logprob is chunk["top_tokens"][1]["logprob"] is None
        assert chunk.details.finish_reason == chunk["details"]["finish_reason"] == "length"
        assert chunk.get("index") == 1

    def test_everything_of_an_answer(self, answer):
        assert answer.details.prefill[0] == PrefillToken(id=1, text="<s>")
        assert answer.details.best_of_sequences[0].seed == 6
        assert isinstance(answer.details.best_of_sequences[0], BestOfSequence)
        assert answer["details"]["best_of_sequences"][0]["tokens"][0]["text"] == " a"

    def test_unknown_fields_are_read_by_key(self, chunk):
        assert chunk["future"] == {"a": None}
        assert "future" in chunk
        assert chunk.get("future") == {"a": None}
        with pytest.raises(AttributeError):
            chunk.future  # noqa: B018 - reading it is the test

    def test_unknown_fields_of_a_part_are_in_to_dict_of_the_answer(self, chunk):
        assert chunk.to_dict()["token"]["new"] == [1]
        assert "new" not in chunk.token

    def test_missing_fields(self, chunk):
        with pytest.raises(KeyError):
            chunk["nonsense"]
        with pytest.raises(KeyError):
            chunk[0]
        assert chunk.get("nonsense", 5) == 5
        assert "nonsense" not in chunk
        assert 0 not in chunk

    def test_as_a_mapping(self, chunk):
        assert isinstance(chunk, Mapping)
        assert issubclass(Token, Mapping)
        assert dict(chunk)["token"] is chunk.token
        assert {**chunk}["index"] == 1
        assert list(chunk) == list(chunk.keys()) == [
            "index", "token", "top_tokens", "generated_text", "details",
            "sequence", "resumed", "future",
        ]  # fmt: skip
        assert dict(chunk) == dict(chunk.items())
        assert list(chunk.values()) == [chunk[key] for key in chunk]
        assert len(chunk) == 8
        assert all(key in chunk for key in chunk)
        assert len(chunk.token) == 4

    def test_json_writes_them(self, chunk, answer):
        assert json.loads(json.dumps(chunk.token, default=dict)) == TOKEN
        assert json.loads(json.dumps([answer], default=dict))[0]["details"]["tokens"] == [TOKEN]
        with pytest.raises(TypeError, match="GeneratedText is not JSON serializable"):
            json.dumps(answer)


class TestToDictAndToJson:
    def test_fields_that_the_server_sent(self, chunk, answer):
        assert chunk.to_dict() == SAID
        assert json.loads(chunk.to_json()) == SAID
        assert answer.to_dict() == ANSWER
        assert json.loads(answer.to_json()) == ANSWER

    def test_to_json_is_the_json_that_the_server_sent(self):
        text = b'{ "generated_text" : "\\u00e9", "n": 1.0e2 }'
        [answer] = TGI().read_answers(b"[" + text + b"]")
        assert answer.to_json() == text.decode().strip()

    def test_very_big_numbers(self):
        text = '{"generated_text": "a", "n": [1e400, %s, 7]}' % ("9" * 5000)
        [answer] = TGI().read_answers(text.encode())
        assert answer.to_dict() == {"generated_text": "a", "n": [None, None, 7]}
        assert answer["n"][2] == 7
        assert "other" not in answer
        assert answer.to_json() == text

    def test_to_dict_makes_a_new_dict_each_time(self, chunk):
        chunk.to_dict()["token"]["text"] = "other"
        assert chunk.to_dict() == SAID

    def test_a_server_cannot_set_the_raw_json(self):
        data = json.dumps({"token": {**TOKEN, "\x7fraw": "fn5+"}}).encode()
        with pytest.raises(hfgen.MalformedStreamError):
            list(TGI().make_event_reader().read([Event(b"", data)]))

    def test_parts_have_the_fields_of_tgi(self, answer):
        assert answer.details.to_dict() == ANSWER["details"]
        assert answer.details.tokens[0].to_dict() == TOKEN
        assert json.loads(answer.details.to_json()) == ANSWER["details"]

    def test_objects_made_by_the_caller(self):
        chunk = Chunk(token=Token(text="é"))
        assert chunk.to_dict() == {
            "index": None,
            "token": {"id": None, "text": "é", "logprob": None, "special": False},
            "generated_text": None,
            "details": None,
        }
        assert json.loads(chunk.to_json()) == chunk.to_dict()


TWINS = [copy.copy, copy.deepcopy] + [
    lambda value, protocol=protocol: pickle.loads(pickle.dumps(value, protocol))
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
]


class TestValues:
    @pytest.mark.parametrize("twin", TWINS)
    def test_can_be_copied_and_pickled(self, chunk, answer, twin):
        for value in (chunk, answer, chunk.token, answer.details):
            other = twin(value)
            assert type(other) is type(value)
            assert other == value
            assert other.to_dict() == value.to_dict()
            assert repr(other) == repr(value)

    def test_equality_compares_the_known_fields(self, chunk):
        [same] = (
            TGI().make_event_reader().read([Event(b"", json.dumps({**SAID, "future": 5}).encode())])
        )
        assert same == chunk
        assert same != Chunk(token=Token(text="x"))
        assert Token(text="a") != PrefillToken(text="a")
        assert Token(text="a") != {"text": "a"}
        assert Details() != 5

    def test_are_frozen(self, chunk):
        with pytest.raises(AttributeError):
            chunk.index = 5
        with pytest.raises(TypeError):
            chunk["index"] = 5

    def test_default_lists_are_not_shared(self):
        first, second = Details(), Details()
        first.tokens.append(Token(text="a"))
        assert second.tokens == []

    def test_repr_shows_the_fields(self, chunk):
        assert repr(chunk.token) == "Token(id=7, text=' a', logprob=-0.5, special=False)"
        assert repr(chunk).startswith("Chunk(index=1, token=Token(")
        assert "raw" not in repr(chunk)
        assert eval(repr(chunk), vars(hfgen.types)) == chunk

    def test_match_statements(self, chunk):
        match chunk:
            case Chunk(token=Token(text=text)):
                assert text == " a"
            case _:
                raise AssertionError

    def test_an_empty_answer(self):
        assert GeneratedText(generated_text="").details is None
        with pytest.raises(TypeError):
            GeneratedText()
        with pytest.raises(TypeError):
            Token("a")
