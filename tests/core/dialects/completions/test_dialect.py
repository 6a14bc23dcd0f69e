"""The streams of OpenAI-compatible completions: sequences, and how they end."""

import pytest

from helpers.completion_streams import USAGE, chunks, only_usage, piece, read, texts
from hfgen import IncompleteGenerationError, MalformedStreamError
from hfgen._core.body import EventBody, select_chunk
from hfgen._core.dialects.completions import Completions
from hfgen.testing import done, event


class TestTheEnd:
    @pytest.mark.parametrize(
        "ending",
        [
            [piece("b", "length"), only_usage(), done()],
            [piece("b", "length"), only_usage()],
            [piece("b", "length", usage=USAGE), done()],
            [piece("b", "length", usage=USAGE)],
            [piece("b", "length"), event({"usage": USAGE}), done()],
            [piece("b", "length"), piece("", "length", usage=USAGE), done()],
            [piece("b", "length"), piece("", usage=USAGE), done()],
        ],
    )
    def test_has_the_whole_text_and_the_details(self, ending):
        got = chunks(piece("a"), *ending)
        assert texts(got) == ["a", "b"]
        assert [chunk.index for chunk in got] == [1, 2]
        assert [chunk.generated_text for chunk in got] == [None, "ab"]
        assert got[0].details is None
        assert got[1].details.to_dict() == {
            "finish_reason": "length",
            "generated_tokens": 2,
            "seed": None,
            "input_length": 4,
        }
        assert got[0].to_dict()["token"] == {
            "id": None,
            "text": "a",
            "logprob": None,
            "special": False,
        }

    @pytest.mark.parametrize("ending", [[done()], [], [piece("", usage=None), b":\n\n"]])
    def test_without_usage(self, ending):
        got = chunks(piece("a"), piece("b", "length"), *ending)
        assert got[-1].generated_text == "ab"
        assert got[-1].details.generated_tokens is None
        assert got[-1].details.input_length is None

    def test_usage_in_each_event(self):
        got = chunks(piece("a", usage={**USAGE, "completion_tokens": 1}), piece("b", "length"))
        assert got[-1].details.input_length == 4
        got = chunks(piece("a", usage=USAGE), piece("b", "length", usage=USAGE), done())
        assert [chunk.generated_text for chunk in got] == [None, "ab"]

    def test_text_after_the_reason_for_the_end(self):
        got = chunks(piece("a", "stop"), piece("b"), done())
        assert texts(got) == ["a", "b"]
        assert [chunk.generated_text for chunk in got] == [None, "ab"]
        got = chunks(piece("a", "stop", usage=USAGE), piece("b"), done())
        assert [chunk.generated_text for chunk in got] == ["a"]

    @pytest.mark.parametrize("mark", [b"data: [DONE]\n\n", b"data:[DONE]\n\n", b"data: [DONE]"])
    def test_done_ends_a_stream_without_a_finish_reason(self, mark):
        got = chunks(piece("a"), piece("b"), mark)
        assert texts(got) == ["a", "b", ""]
        assert got[-1].generated_text == "ab"
        assert got[-1].index == 3
        assert got[-1].details.finish_reason is None

    def test_done_alone_gives_an_empty_text(self):
        [chunk] = chunks(done())
        assert chunk.generated_text == ""

    def test_events_after_done_are_ignored(self):
        assert len(chunks(piece("a", "stop"), done(), done(), piece("b"), event("?"))) == 1

    def test_without_an_end_the_stream_is_incomplete(self):
        got, error, message, text = read(piece("a"), piece("b"))
        assert error is IncompleteGenerationError
        assert texts(got) == ["a", "b"]
        assert text == "ab"
        assert "ended before the last event" in message
        assert read()[1] is IncompleteGenerationError
        assert read(only_usage())[1] is IncompleteGenerationError

    def test_the_stream_ends_after_the_event_with_the_finish_reason(self):
        decoder = EventBody(Completions(), select_chunk)
        assert list(decoder.feed(piece("a", "stop"))) == []
        assert decoder.is_complete
        [last] = decoder.take_rest()
        assert last.generated_text == "a"
        assert list(decoder.take_rest()) == []


class TestTheFinishReason:
    @pytest.mark.parametrize(
        ("native", "more", "parameters", "reason"),
        [
            ("length", {}, {}, "length"),
            ("stop", {}, {}, "eos_token"),
            ("eos", {}, {}, "eos_token"),
            ("repetition", {}, {}, "repetition"),
            ("stop_sequence", {}, {"kind": "tgi"}, "stop_sequence"),
            ("stop", {}, {"stop": ["x"]}, "stop"),
            ("stop", {}, {"stop": ["x"], "kind": "tgi"}, "eos_token"),
            ("stop", {}, {"stop": ["b"]}, "stop_sequence"),
            # transformers keeps the whole token that completes the stop string.
            ("stop", {}, {"stop": ["x", "a"]}, "stop_sequence"),
            ("stop", {"stop_reason": None}, {"stop": ["x"]}, "eos_token"),
            ("stop", {"stop_reason": 2}, {"stop": ["x"]}, "eos_token"),
            ("stop", {"stop_reason": "x"}, {"stop": ["x"]}, "stop_sequence"),
            ("stop", {"matched_stop": 2}, {"stop": ["x"]}, "eos_token"),
            ("stop", {"matched_stop": "x"}, {"stop": ["x"]}, "stop_sequence"),
            ("length", {"stop_reason": None}, {}, "length"),
        ],
    )
    def test_in_the_terms_of_tgi(self, native, more, parameters, reason):
        details = chunks(piece("a"), piece("b", native, **more), done(), **parameters)[-1].details
        assert details.finish_reason == reason
        assert details.native_finish_reason == (None if native == reason else native)

    @pytest.mark.parametrize("kind", [None, "tgi"])
    def test_the_end_token_of_tgi_is_no_text(self, kind):
        last = piece("</s>", "eos_token", usage=USAGE)
        got = chunks(piece("a", ""), last, done(), kind=kind)
        assert [chunk.token.special for chunk in got] == [False, True]
        assert texts(got) == ["a", "</s>"]
        assert got[-1].generated_text == "a"
        assert got[-1].details.finish_reason == "eos_token"

    def test_the_end_token_of_another_server_is_text(self):
        [last] = chunks(piece("a", "eos_token"), done(), kind="vllm")
        assert last.generated_text == "a"
        assert not last.token.special

    @pytest.mark.parametrize("word", ["stop_sequence", "length"])
    def test_other_reasons_of_tgi_do_not_make_a_token_special(self, word):
        assert chunks(piece("a", word), done(), kind="tgi")[-1].generated_text == "a"


class TestSequences:
    def test_every_sequence_has_its_own_count_and_text(self):
        got = chunks(
            piece("a"),
            piece("x", index=1),
            piece("b", "length"),
            piece("y", "stop", index=1),
            only_usage(),
            done(),
            num_return_sequences=2,
        )
        assert [(c.sequence, c.index, c.token.text, c.generated_text) for c in got] == [
            (0, 1, "a", None),
            (1, 1, "x", None),
            (0, 2, "b", "ab"),
            (1, 2, "y", "xy"),
        ]
        assert [c.details.finish_reason for c in got[2:]] == ["length", "eos_token"]
        assert [c.details.input_length for c in got[2:]] == [4, 4]
        # The usage counts both sequences.
        assert [c.details.generated_tokens for c in got[2:]] == [None, None]

    def test_may_come_in_one_event(self):
        choices = [{"index": i, "text": "ab"[i], "finish_reason": "length"} for i in (1, 0)]
        got = chunks(event({"choices": choices}), done(), num_return_sequences=2)
        assert [(c.sequence, c.generated_text) for c in got] == [(0, "a"), (1, "b")]

    def test_the_stream_ends_after_all_sequences(self):
        steps = [piece("a", "stop"), piece("x", index=1)]
        assert read(*steps, num_return_sequences=2)[1] is IncompleteGenerationError
        assert read(piece("a", "stop"), num_return_sequences=2)[1] is IncompleteGenerationError
        assert chunks(*steps, done(), num_return_sequences=2)[-1].generated_text == "x"

    @pytest.mark.parametrize(
        ("steps", "first"),
        [
            # An index that counts tokens, and one that stands for a text of its own.
            ([piece("a"), piece("b", index=1), piece("c", "stop", index=2)], ["a"]),
            ([piece("a"), piece("x", index=1), piece("b", "stop")], ["a"]),
            ([piece("a", index=5), piece("b", "stop", index=6)], ["a"]),
            ([event({"choices": [{"index": i, "text": "ab"[i]} for i in (0, 1)]})], []),
        ],
    )
    def test_that_were_not_asked_for_are_an_error(self, steps, first):
        got, error, message, text = read(*steps, done())
        assert (texts(got), error, text) == (first, MalformedStreamError, "".join(first))
        assert "more sequences than were asked for (1)" in message
        steps = [piece("a"), piece("x", index=1), *steps, piece("z", index=9)]
        assert read(*steps, num_return_sequences=2)[1] is MalformedStreamError

    @pytest.mark.parametrize("number", [1, 7])
    def test_the_only_one_may_have_any_index(self, number):
        got = chunks(piece("a", index=number), piece("b", "stop", index=number), done())
        assert (texts(got), got[-1].generated_text) == (["a", "b"], "ab")

    def test_are_asked_for_by_n_too(self):
        got = chunks(piece("a", "stop"), piece("x", "stop", index=1), done(), n=2)
        assert [(c.sequence, c.generated_text) for c in got] == [(0, "a"), (1, "x")]

    def test_every_sequence_of_llama_cpp_has_its_own_usage(self):
        got = chunks(
            piece("a", "length", usage={**USAGE, "completion_tokens": 1}),
            piece("x", index=1),
            piece("y", "length", index=1, usage=USAGE),
            done(),
            num_return_sequences=2,
            kind="llama.cpp",
        )
        assert [c.generated_text for c in got] == ["a", None, "xy"]
        assert [c.details.generated_tokens for c in got if c.details] == [1, 2]


def test_the_prompt_comes_before_the_generated_text_only():
    got = chunks(piece(" a"), piece("b", "stop"), done(), return_full_text=True)
    assert texts(got) == [" a", "b"]
    assert got[-1].generated_text == "Once ab"
    # hfgen never sends `echo`.
    got = chunks(piece("Once", "stop"), done(), return_full_text=True, kind="vllm")
    assert got[-1].generated_text == "OnceOnce"
