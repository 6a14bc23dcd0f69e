"""From the body of an answer to the items of a stream; bodies are split in every way."""

import json

import pytest

from helpers.byte_cuts import cuts, same_every_way
from helpers.completion_streams import USAGE, piece
from helpers.scripted_answers import token
from hfgen import (
    AbortError,
    ConnectError,
    GenerationError,
    IncompleteGenerationError,
    MalformedAnswerError,
    MalformedStreamError,
    OverloadedError,
    TimeoutError,  # noqa: A004
)
from hfgen._core.body import (
    EventBody,
    JsonBody,
    RawBody,
    answers_from_chunks,
    select_chunk,
    select_text,
)
from hfgen._core.dialects.completions import Completions
from hfgen._core.dialects.tgi import TGI
from hfgen.testing import event


def outcome(make, pieces):
    """Return what the pieces give: the items, and the error as class, message and text."""
    decoder, items = make(), []
    try:
        for piece in pieces:
            items.extend(decoder.feed(piece))
        items.extend(decoder.finish())
    except Exception as error:  # noqa: BLE001 - compared below
        return items, type(error), str(error), getattr(error, "text", None)
    return items, None, None, None


def every_way(make, body):
    return same_every_way(body, lambda pieces: outcome(make, pieces))


def tokens(body):
    return every_way(lambda: EventBody(TGI(), select_text), body)


def chunks(body):
    return every_way(lambda: EventBody(TGI(), select_chunk), body)


def whole(body):
    return every_way(lambda: JsonBody(TGI(), select_text), body)


STORY = [token("Once", index=1), token(" é", index=2), token("\u2028", index=3)]
LAST = token("</s>", special=True, last="Once é\u2028", index=4)


class TestEventBody:
    def test_tokens_joined_are_the_generated_text(self):
        items, error, *_ = tokens(b"".join(map(event, [*STORY, LAST])))
        assert error is None
        assert "".join(items) == "Once é\u2028"

    def test_chunks_are_what_the_server_said(self):
        items, *_ = chunks(b"".join(map(event, [*STORY, LAST])))
        assert [chunk.to_dict() for chunk in items] == [*STORY, LAST]

    @pytest.mark.parametrize("data", [b"data:%b\n\n", b"data: %b\r\n\r\n", b"data: %b\r\r"])
    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    @pytest.mark.parametrize("noise", [b"", b":\n", b": keepalive\n\n", b"event: x\nid: 1\n"])
    def test_framing_and_comments(self, data, mark, noise):
        events = [json.dumps(chunk, ensure_ascii=False).encode() for chunk in [*STORY, LAST]]
        items, error, *_ = tokens(mark + b"".join(noise + data % text for text in events))
        assert error is None
        assert items == ["Once", " é", "\u2028"]

    def test_an_event_may_be_spread_over_data_lines(self):
        lines = json.dumps(LAST, indent=1).splitlines()
        items, error, *_ = chunks("".join(f"data: {line}\n" for line in lines).encode() + b"\n")
        assert error is None
        assert items[0].token.text == "</s>"

    def test_special_tokens_are_no_text(self):
        special = ["</s>", "<|eot_id|>", "<|im_end|>", "<|endoftext|>", "y</s>"]
        body = [*(token(text, special=True) for text in special), token(" sky", last=" sky")]
        items, *_ = tokens(b"".join(map(event, body)))
        assert items == [" sky"]

    def test_what_looks_special_but_is_not_is_text(self):
        items, *_ = tokens(b"".join(map(event, [token("</s>"), token("\n\n", last="</s>\n\n")])))
        assert items == ["</s>", "\n\n"]

    def test_a_token_with_empty_text_is_an_item(self):
        body = b"".join(map(event, [token(""), token("é", last="é")]))
        assert tokens(body)[0] == ["", "é"]
        assert [chunk.token.text for chunk in chunks(body)[0]] == ["", "é"]

    def test_the_last_event_needs_no_blank_line(self):
        body = b"".join(map(event, [*STORY, LAST])).rstrip(b"\n")
        items, error, *_ = tokens(body)
        assert error is None
        assert "".join(items) == "Once é\u2028"

    def test_an_end_without_the_last_event_is_incomplete(self):
        items, error, message, text = tokens(b"".join(map(event, STORY)))
        assert error is IncompleteGenerationError
        assert items == ["Once", " é", "\u2028"]
        assert text == "Once é\u2028"
        assert "ended before the last event" in message

    def test_the_text_of_an_incomplete_stream_leaves_special_tokens_out(self):
        body = b"".join(map(event, [token("<s>", special=True), token("a"), token("b")]))
        assert tokens(body)[3] == "ab"
        assert chunks(body)[3] == "ab"

    def test_done_is_an_end(self):
        items, error, *_ = tokens(b"".join(map(event, STORY)) + b"data: [DONE]\n\n")
        assert error is None
        assert items == ["Once", " é", "\u2028"]

    def test_done_without_a_blank_line_is_an_end(self):
        assert tokens(event(token("a")) + b"data: [DONE]")[:2] == (["a"], None)

    def test_an_event_that_is_cut_off_is_an_error(self):
        body = event(token("a")) + event(token("b", last="ab"))[:-20]
        items, error, _, text = tokens(body)
        assert items == ["a"]
        assert issubclass(error, MalformedStreamError | IncompleteGenerationError)
        assert text == "a"

    def test_an_empty_body_is_incomplete(self):
        assert tokens(b"") == (
            [],
            IncompleteGenerationError,
            "the stream ended before the last event; `text` has what came",
            "",
        )

    def test_an_error_after_tokens_keeps_their_text(self):
        body = event(token("a")) + event({"error": "oh", "error_type": "generation"})
        items, error, message, text = tokens(body + event(token("b", last="ab")))
        assert items == ["a"]
        assert error is GenerationError
        assert "oh" in message
        assert text == "a"

    def test_an_error_before_tokens(self):
        body = event({"error": "full", "error_type": "overloaded"})
        assert tokens(body)[:2] == ([], OverloadedError)

    def test_an_error_without_a_blank_line_counts(self):
        body = event({"error": "full", "error_type": "overloaded"}).rstrip()
        assert tokens(body)[:2] == ([], OverloadedError)

    @pytest.mark.parametrize("bad", [b"\xff\xfe", b'{"token": {"text": "a\xff', b"{"])
    def test_a_malformed_event_keeps_the_text(self, bad):
        items, error, _, text = tokens(event(token("a")) + b"data: " + bad + b"\n\n")
        assert items == ["a"]
        assert error is MalformedStreamError
        assert text == "a"

    @pytest.mark.parametrize("wrong", [{"logprob": "?"}, {"id": "?"}, {"id": None}])
    def test_only_text_ignores_other_fields_of_a_token(self, wrong):
        payload = token("a", last="a")
        payload["token"] |= wrong
        assert tokens(event(payload))[:2] == (["a"], None)
        _, error, *_ = chunks(event(payload))
        assert error is (None if wrong == {"id": None} else MalformedStreamError)

    def test_a_line_that_is_too_long_keeps_the_text(self):
        decoder = EventBody(TGI(), select_text)
        assert list(decoder.feed(event(token("a")))) == ["a"]
        with pytest.raises(MalformedStreamError) as caught:
            list(decoder.feed(b"data: " + b"x" * 20_000_000))
        assert caught.value.text == "a"

    def test_a_break_before_the_end_is_an_error(self):
        decoder = EventBody(TGI(), select_text)
        list(decoder.feed(event(token("a"))))
        ending = decoder.ending_error(ConnectError("cut"))
        assert isinstance(ending, IncompleteGenerationError)
        assert ending.text == "a"
        assert "cut" in str(ending)
        for error in [TimeoutError("slow"), AbortError("enough")]:
            assert decoder.ending_error(error) is error
            assert error.text == "a"

    def test_a_break_after_the_last_event_is_no_error(self):
        decoder = EventBody(TGI(), select_text)
        list(decoder.feed(event(token("a", last="a"))))
        assert decoder.ending_error(ConnectError("cut")) is None

    @pytest.mark.parametrize("has_begun", [False, True])
    def test_a_break_before_the_last_item_is_taken_is_an_error(self, has_begun):
        decoder = EventBody(TGI(), select_text)
        items = decoder.feed(event(token("a")) + event(token("b", last="ab")))
        came = next(items)
        if has_begun:
            # `accept` decodes the first chunks before the caller takes an item.
            items = decoder.select_items(
                iter(list(decoder.read_chunks(event(token("b", last="ab")))))
            )
        error = AbortError("enough")
        assert decoder.ending_error(error) is error
        assert error.text == came == "a"

    def test_a_break_inside_the_last_event_is_an_error(self):
        logprobs = {"tokens": ["a", "b"], "token_logprobs": [-1, -1], "text_offset": [0, 1]}
        last = piece("ab", "length", logprobs=logprobs, usage=USAGE)
        decoder = EventBody(Completions({"inputs": "x"}), select_text)
        items = decoder.feed(last)
        assert next(items) == "a"
        error = AbortError("enough")
        assert decoder.ending_error(error) is error
        assert error.text == "a"

    def test_a_hundred_thousand_tokens_are_read_in_linear_time(self):
        decoder = EventBody(TGI(), select_text)
        body = event(token("a"))
        assert sum(1 for _ in range(100_000) for _ in decoder.feed(body)) == 100_000
        assert decoder.text == "a" * 100_000


class TestJsonBody:
    def test_an_answer_without_details_is_one_item(self):
        assert whole(b'{"generated_text": "a b"}')[:2] == (["a b"], None)
        assert whole(b'[{"generated_text": "a b"}]')[:2] == (["a b"], None)

    def test_details_give_the_tokens(self):
        listed = [token(" a")["token"], token("</s>", special=True)["token"]]
        answer = {
            "generated_text": " a",
            "details": {
                "finish_reason": "eos_token",
                "generated_tokens": 2,
                "seed": 5,
                "prefill": [{"id": 1, "text": "x", "logprob": None}],
                "tokens": listed,
                "top_tokens": [[listed[0]], [listed[1]]],
            },
        }
        body = json.dumps(answer).encode()
        assert whole(body)[:2] == ([" a"], None)
        items, error, *_ = every_way(lambda: JsonBody(TGI(), select_chunk), body)
        assert error is None
        assert [item.index for item in items] == [1, 2]
        assert [item.token.to_dict() for item in items] == listed
        assert [item.generated_text for item in items] == [None, " a"]
        assert items[0].details is None
        assert items[1].details.finish_reason == "eos_token"
        assert items[1].details.seed == 5
        assert items[0].top_tokens[0].text == " a"

    def test_more_answers_than_were_asked_for_are_an_error(self):
        body = b'[{"generated_text": "a"}, {"generated_text": "x"}]'
        items, error, message, _ = whole(body)
        assert (items, error) == ([], MalformedStreamError)
        assert "2 answers have come, and 1 asked for" in message
        [*items], error, *_ = every_way(lambda: JsonBody(TGI(), select_chunk, max_answers=2), body)
        assert [(chunk.sequence, chunk.generated_text) for chunk in items] == [(0, "a"), (1, "x")]
        assert error is None

    def test_an_error_object(self):
        assert whole(b'{"error": "full", "error_type": "overloaded"}')[1] is OverloadedError

    @pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b"[]"])
    def test_an_invalid_answer(self, body):
        items, error, *_ = whole(body)
        assert items == []
        assert error is MalformedAnswerError

    def test_a_break(self):
        decoder = JsonBody(TGI(), select_text)
        list(decoder.feed(b'{"generated_'))
        assert isinstance(decoder.ending_error(ConnectError("cut")), IncompleteGenerationError)
        slow = TimeoutError("slow")
        assert decoder.ending_error(slow) is slow


class TestRawBody:
    def test_pieces_are_unchanged(self):
        body = bytes(range(256)) + "\u2028\r\n\n".encode()
        for pieces in cuts(body):
            items, error, *_ = outcome(RawBody, pieces)
            assert error is None
            assert items == [piece for piece in pieces if piece]

    def test_a_break_raises_its_own_error(self):
        cut = ConnectError("cut")
        assert RawBody().ending_error(cut) is cut


class TestAnswersFromChunks:
    def read(self, *payloads):
        return list(EventBody(TGI(), select_chunk).feed(b"".join(map(event, payloads))))

    def test_the_last_event_has_the_text(self):
        [answer] = answers_from_chunks(self.read(token("a"), token("</s>", special=True, last="a")))
        assert answer.to_dict() == {"generated_text": "a", "details": None}

    def test_without_generated_text_the_tokens_are_joined(self):
        [answer] = answers_from_chunks(
            self.read(token("<s>", special=True), token("a"), token("b"))
        )
        assert answer.generated_text == "ab"

    def test_an_empty_generated_text_counts(self):
        [answer] = answers_from_chunks(self.read(token("a", last="")))
        assert answer.generated_text == ""

    def test_details(self):
        details = {"finish_reason": "length", "generated_tokens": 2, "seed": 3, "input_length": 4}
        last = {**token("b", last="ab"), "details": details, "top_tokens": [token("c")["token"]]}
        [answer] = answers_from_chunks(self.read(token("a"), last))
        assert answer.details.finish_reason == "length"
        assert answer.details.seed == 3
        assert [t.text for t in answer.details.tokens] == ["a", "b"]
        assert [[t.text for t in top] for top in answer.details.top_tokens] == [[], ["c"]]
        assert len(answer.details.tokens) == len(answer.details.top_tokens)
