"""JSON as servers write it: numbers that JSON does not have, halves of characters, odd bytes."""

import json

import msgspec
import pytest

from helpers.byte_cuts import same_every_way
from hfgen import MalformedStreamError, ServerError
from hfgen._core import server_errors
from hfgen._core.body import EventBody, JsonBody, answers_from_chunks, select_chunk, select_text
from hfgen._core.dialects.completions import Completions
from hfgen._core.dialects.tgi import TGI
from hfgen._core.server_json import decode_json, decode_or_repair

DIALECTS = {"tgi": TGI, "completions": Completions}
BOM = b"\xef\xbb\xbf"
SMILE = "😀"


def chunk(dialect, text, *, logprob="-1", extra="0", end=None):
    """Return the data of an event; the arguments are JSON, without quotes where it is a text."""
    if dialect == "tgi":
        whole = "null" if end is None else f'"{end}"'
        token = f'{{"id":1,"text":"{text}","logprob":{logprob},"special":false}}'
        return f'{{"token":{token},"generated_text":{whole},"details":null,"extra":{extra}}}'
    reason = "null" if end is None else '"length"'
    choice = (
        f'"index":0,"text":"{text}","finish_reason":{reason},'
        f'"logprobs":{{"tokens":["{text}"],"token_logprobs":[{logprob}]}}'
    )
    return f'{{"choices":[{{{choice}}}],"extra":{extra}}}'


def as_event(data):
    return b"data: " + (data if isinstance(data, bytes) else data.encode()) + b"\n\n"


def read(dialect, *events, select=select_chunk, sequences=1):
    request = {"inputs": "", "parameters": {"num_return_sequences": sequences}}

    def read_pieces(pieces):
        decoder = EventBody(DIALECTS[dialect](request), select)
        items = [item for piece in pieces for item in decoder.feed(piece)]
        return items + list(decoder.finish())

    return same_every_way(b"".join(map(as_event, events)), read_pieces)


def texts(chunks):
    return [c.token.text for c in chunks]


@pytest.fixture(params=DIALECTS)
def dialect(request):
    return request.param


def answer_body(dialect, text, *, logprob="-1", extra="0"):
    if dialect == "completions":
        return chunk(dialect, text, logprob=logprob, extra=extra, end=text)
    token = f'{{"id":1,"text":"{text}","logprob":{logprob},"special":false}}'
    details = f'{{"finish_reason":"length","generated_tokens":1,"tokens":[{token}]}}'
    return f'{{"generated_text":"{text}","details":{details},"extra":{extra}}}'


class TestNumbersThatJsonDoesNotHave:
    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
    def test_are_null_in_a_stream(self, dialect, number):
        for where in ({"logprob": number}, {"extra": number}, {"extra": f"[{{}}, {number}]"}):
            first, last = read(
                dialect, chunk(dialect, "a", **where), chunk(dialect, "b", end="ab"), "[DONE]"
            )
            assert first.token.logprob == (None if "logprob" in where else -1)
            assert (first.token.text, last.generated_text) == ("a", "ab")
            json.loads(first.to_json(), parse_constant=pytest.fail)
            assert first.to_dict()["token"]["logprob"] == first.token.logprob

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
    def test_are_null_in_an_answer(self, dialect, number):
        for where in ({"logprob": number}, {"extra": number}):
            body = answer_body(dialect, "NaN, Infinity", **where).encode()
            [answer] = DIALECTS[dialect]().read_answers(body)
            assert answer.generated_text == "NaN, Infinity"
            [token] = answer.details.tokens
            assert token.logprob == (None if "logprob" in where else -1)
            json.loads(answer.to_json(), parse_constant=pytest.fail)

    def test_do_not_hide_a_null_where_none_belongs(self):
        data = '{"token":{"text":"a","special":null,"logprob":NaN},"generated_text":"a"}'
        [last] = read("tgi", data)
        assert last.token.to_dict() == {"id": None, "text": "a", "logprob": None, "special": False}

    def test_leave_big_numbers_as_they_are(self):
        assert decode_json(b"[NaN, %d, 0.1]" % 10**30) == [None, 10**30, 0.1]
        assert decode_json(b"[1e400, -1e400, %s]" % (b"9" * 5000)) == [None] * 3

    def test_in_an_error(self):
        body = b'{"error": {"message": "full", "code": 503, "load": NaN}}'
        assert server_errors.parse_body_error(body).message == "full"
        with pytest.raises(ServerError, match="full"):
            read("tgi", body)


class TestHalvesOfACharacter:
    def test_in_two_chunks_are_joined_in_the_second(self, dialect):
        high, low = "a\\ud83d", "\\ude00b"
        for select in (select_chunk, select_text):
            items = read(
                dialect,
                chunk(dialect, high),
                chunk(dialect, low),
                chunk(dialect, "", end=f"a{SMILE}b"),
                "[DONE]",
                select=select,
            )
            found = items if select is select_text else texts(items)
            assert "".join(found) == f"a{SMILE}b"
            assert found[:2] == ["a", f"{SMILE}b"]
        chunks = read(
            dialect, chunk(dialect, high), chunk(dialect, low, end=f"a{SMILE}b"), "[DONE]"
        )
        [answer] = answers_from_chunks(chunks)
        assert answer.generated_text == f"a{SMILE}b"
        assert [c.to_dict()["token"]["text"] for c in chunks] == texts(chunks)

    @pytest.mark.parametrize(
        ("pieces", "expected"),
        [
            (["\\ud83d", "", "\\ude00"], ["", "", SMILE]),
            (["\\ud83d", "x"], ["", "\ufffdx"]),
            (["\\ud83d", "\\ud83d", "\\ude00"], ["", "\ufffd", SMILE]),
            (["\\ud83d\\ude00\\ud83d", "\\ude00"], [SMILE, SMILE]),
            (["\\ude00", "x"], ["\ufffd", "x"]),
            (["a\\ud83db", "x"], ["a\ufffdb", "x"]),
            (["a", "\\ud83d"], ["a", "\ufffd"]),
            (["\\uD83D", "\\uDE00", SMILE], ["", SMILE, SMILE]),
        ],
    )
    def test_without_the_other_are_replaced(self, dialect, pieces, expected):
        events = [chunk(dialect, piece) for piece in pieces[:-1]]
        last = chunk(dialect, pieces[-1], end="".join(expected))
        chunks = read(dialect, *events, last, "[DONE]")
        assert texts(chunks) == expected
        assert chunks[-1].generated_text == "".join(expected)

    def test_belong_to_their_sequence(self):
        def piece(index, text, reason="null"):
            choice = f'{{"index":{index},"text":"{text}","finish_reason":{reason}}}'
            return f'{{"choices":[{choice}]}}'

        chunks = read(
            "completions", piece(0, "\\ud83d"), piece(1, "b"), piece(0, "\\ude00", '"length"'),
            piece(1, "c", '"length"'), "[DONE]", sequences=2,
        )  # fmt: skip
        assert {c.sequence: c.generated_text for c in chunks if c.generated_text} == {
            0: SMILE,
            1: "bc",
        }

    def test_are_kept_back_while_other_events_come(self, dialect):
        first, second = chunk(dialect, "\\ud83d"), chunk(dialect, "\\ude00", end=SMILE)
        chunks = read(dialect, first, '{"type": "ping"}', "", second, "[DONE]")
        assert texts(chunks) == ["", SMILE]

    def test_are_no_part_of_a_special_token(self):
        special = f'{{"token":{{"text":"</s>","special":true}},"generated_text":"{SMILE}"}}'
        chunks = read("tgi", chunk("tgi", "\\ud83d"), chunk("tgi", "\\ude00"), special)
        assert texts(chunks) == ["", SMILE, "</s>"]

    def test_in_an_answer_are_replaced(self, dialect):
        body = answer_body(dialect, "a\\ud83d", extra='"\\ud83d"').encode()
        [answer] = DIALECTS[dialect]().read_answers(body)
        assert answer.generated_text == "a\ufffd"
        json.dumps(answer.to_dict(), ensure_ascii=False).encode()
        answer.to_json().encode()


class TestBytes:
    @pytest.mark.parametrize(
        ("raw", "text"),
        # As the WHATWG's "UTF-8 decode" says: one U+FFFD for each longest start of a character.
        [
            (b"a\xffb", "a\ufffdb"),
            (b"\xe6\x97", "\ufffd"),
            (b"\xe6\x97\xff", "\ufffd\ufffd"),
            (b"\xed\xa0\xbd", "\ufffd" * 3),
            (b"\xf0\x9f\x98", "\ufffd"),
        ],
    )
    def test_that_are_no_utf8_are_replaced(self, dialect, raw, text):
        data = chunk(dialect, "TEXT", end="TEXT").encode().replace(b"TEXT", raw)
        [last] = read(dialect, data, "[DONE]")
        assert (last.token.text, last.generated_text) == (text, text)
        body = answer_body(dialect, "TEXT").encode().replace(b"TEXT", raw)
        [answer] = DIALECTS[dialect]().read_answers(body)
        assert answer.generated_text == text

    def test_a_byte_order_mark_is_dropped(self, dialect):
        body = BOM + answer_body(dialect, "a").encode()
        for spaced in (body, BOM + b"\n " + body[len(BOM) :]):
            [answer] = DIALECTS[dialect]().read_answers(spaced)
            assert answer.generated_text == "a"
        items = JsonBody(DIALECTS[dialect](), select_text)
        assert [*items.feed(body), *items.finish()] == ["a"]

    def test_a_byte_order_mark_before_a_list(self):
        [answer] = TGI().read_answers(BOM + b'[{"generated_text": "a"}]')
        assert answer.generated_text == "a"

    def test_a_byte_order_mark_before_an_error(self):
        assert server_errors.parse_body_error(BOM + b'{"error": "no"}').message == "no"
        assert server_errors.parse_body_error(BOM + b"no").message == "no"


class TestEventsThatAreNoAnswer:
    NOISE = (
        b"null",
        b"[]",
        b"[null]",
        b"{}",
        b'{"choices": null}',
        b'{"choices": [null]}',
        b'{"id": "c", "object": "text_completion", "choices": null}',
        b'{"index": 1, "token": null, "generated_text": null, "details": null}',
        b'{"type": "content_block_stop", "index": 0}',
        b'{"type": "ping"}',
        b'{"type": "ping", "time": 5}',
        b'{"event": "heartbeat"}',
    )

    @pytest.mark.parametrize("noise", NOISE)
    def test_are_left_out(self, dialect, noise):
        chunks = read(
            dialect,
            noise,
            chunk(dialect, "a"),
            noise,
            chunk(dialect, "b", end="ab"),
            noise,
            "[DONE]",
        )
        assert texts(chunks) == ["a", "b"]
        assert chunks[-1].generated_text == "ab"

    @pytest.mark.parametrize("noise", [*NOISE, b"5", b"hello", b'{"cost": "0"}', b"{"])
    def test_after_the_last_chunk_any_are(self, dialect, noise):
        for end in ([], ["[DONE]"]):
            chunks = read(dialect, chunk(dialect, "a", end="a"), noise, *end)
            assert texts(chunks) == ["a"]

    @pytest.mark.parametrize(
        "data",
        [
            b"5",
            b"hello",
            b'"ping"',
            b'[{"text": "a"}]',
            b'{"content": "a"}',
            b'{"choices": null, "content": "a"}',
            b'{"token": {"id": 5}}',
            b'{"token_ids": [5]}',
            b'{"choices": [5]}',
            b'{"type": "response.output_text.delta", "delta": "a"}',
        ],
    )
    def test_may_not_hold_a_text(self, dialect, data):
        with pytest.raises(MalformedStreamError) as caught:
            read(dialect, chunk(dialect, "a"), data, chunk(dialect, "b", end="ab"), "[DONE]")
        assert caught.value.text == "a"

    def test_a_chunk_after_the_last_one_is_none(self):
        later = chunk("tgi", "b"), chunk("tgi", "c", end="abc"), chunk("tgi", "d", logprob="{}")
        assert texts(read("tgi", chunk("tgi", "a", end="a"), *later)) == ["a"]
        assert texts(read("tgi", chunk("tgi", "a"), "[DONE]", *later)) == ["a"]

    def test_an_error_after_the_last_chunk_is_one(self):
        with pytest.raises(ServerError):
            read("completions", chunk("completions", "a", end="a"), '{"error": "no"}')


class TestDecodeOrRepair:
    def test_sound_json_is_decoded_once(self):
        calls = []

        def decode(data):
            calls.append(data)
            return msgspec.json.decode(data)

        assert decode_or_repair(decode, b"[1]") == [1]
        with pytest.raises(msgspec.DecodeError):
            decode_or_repair(decode, b"[1")
        assert calls == [b"[1]", b"[1"]

    @pytest.mark.parametrize("data", [b"", b"[1", b"[1]]", b"nan", b"\xff", b'"\x01"', b"'a'", BOM])
    def test_what_is_no_json_is_an_error(self, data):
        with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
            decode_json(data)

    def test_a_deep_document_is_an_error(self):
        with pytest.raises((msgspec.DecodeError, RecursionError)):
            decode_json(b"[NaN," + b"[" * 100_000)


def test_half_a_character_at_the_end_of_a_stream_is_left_out():
    chunks = read("completions", chunk("completions", "a\\ud83d"), "[DONE]")
    assert chunks[-1].generated_text == "a"
