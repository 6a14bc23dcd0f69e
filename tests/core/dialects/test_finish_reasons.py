"""Finish reasons, and errors beside a text, that say that the text is not whole."""

import json

import pytest

import hfgen
from helpers.byte_cuts import same_every_way
from hfgen._core.body import EventBody, select_chunk, select_text
from hfgen._core.dialects.completions import Completions
from hfgen._core.dialects.finish_reasons import unfinished_text_error
from hfgen._core.dialects.tgi import TGI
from hfgen.testing import done, event

BROKEN = [
    "abort", "ABORT", "aborted", "canceled", "cancelled", "error", "timeout",
    "insufficient_system_resource", "network_error",
]  # fmt: skip
FILTERED = [
    "content_filter",
    "content-filter",
    "sensitive",
    "content_filtered",
    "guardrail_intervened",
]
WHOLE = ["length", "stop", "eos_token", "stop_sequence", "repetition", "load", "something_new", ""]
CLASSES = {
    **dict.fromkeys(BROKEN, hfgen.IncompleteGenerationError),
    **dict.fromkeys(FILTERED, hfgen.ContentFilterError),
}


def tgi_event(text, reason=None, **fields):
    end = {} if reason is None else {"generated_text": "ab", "details": {"finish_reason": reason}}
    return event({"token": {"id": 1, "text": text, "special": False}, **end, **fields})


def completions_event(text, reason=None, **choice):
    return event({"choices": [{"index": 0, "text": text, "finish_reason": reason, **choice}]})


def read(dialect, body, select=select_chunk):
    def read_pieces(pieces):
        decoder, items = EventBody(dialect, select), []
        try:
            for piece in pieces:
                items.extend(decoder.feed(piece))
            items.extend(decoder.finish())
        except hfgen.HfgenError as error:
            return items, type(error), error.message, error.text
        return items, None, None, None

    return same_every_way(body, read_pieces)


@pytest.mark.parametrize("word", [*BROKEN, *FILTERED, *WHOLE, None, 1, {"type": "abort"}])
def test_the_class_of_a_finish_reason(word):
    error = unfinished_text_error(word, text="ab")
    if word not in BROKEN + FILTERED:
        assert error is None
        return
    assert type(error) is CLASSES[word]
    assert error.text == "ab"
    assert repr(word) in str(error)


@pytest.mark.parametrize("reason", CLASSES)
class TestStreams:
    @pytest.mark.parametrize("select", [select_chunk, select_text])
    def test_of_tgi(self, reason, select):
        body = tgi_event("a") + tgi_event("b", reason)
        items, kind, message, text = read(TGI(), body, select)
        assert (kind, text) == (CLASSES[reason], "ab")
        assert repr(reason) in message
        if select is select_text:
            assert items == ["a", "b"]
        else:
            assert [item.token.text for item in items] == ["a", "b"]
            # No chunk looks like the last one of a whole text.
            assert [item.generated_text for item in items] == [None, None]
            assert items[-1].to_dict()["generated_text"] is None

    @pytest.mark.parametrize("ending", [b"", done()])
    def test_of_completions(self, reason, ending):
        body = completions_event("a") + completions_event("b", reason) + ending
        items, kind, message, text = read(Completions(), body)
        assert (kind, text) == (CLASSES[reason], "ab")
        assert repr(reason) in message
        assert [item.token.text for item in items] == ["a", "b"]
        assert [item.generated_text for item in items] == [None, None]

    def test_of_completions_with_the_reason_in_an_event_of_its_own(self, reason):
        tokens = {"logprobs": {"tokens": [""], "token_ids": [7]}}
        body = completions_event("a", **tokens) + completions_event("", reason) + done()
        items, kind, _, text = read(Completions(), body)
        assert (kind, text) == (CLASSES[reason], "a")
        assert [item.token.text for item in items] == ["a"]

    def test_without_a_token(self, reason):
        for dialect, body in (
            (TGI(), tgi_event("", reason)),
            (Completions(), completions_event("", reason)),
        ):
            items, kind, _, text = read(dialect, body)
            assert (items, kind, text) == ([], CLASSES[reason], "")

    def test_of_several_sequences(self, reason):
        body = b"".join(
            event({"choices": [{"index": index, "text": text, "finish_reason": word}]})
            for index, text, word in [(0, "a", None), (1, "x", reason), (0, "b", "stop")]
        )
        dialect = Completions({"inputs": "", "parameters": {"num_return_sequences": 2}})
        items, kind, _, _ = read(dialect, body + done())
        assert kind is CLASSES[reason]
        assert [(item.sequence, item.token.text) for item in items] == [(0, "a"), (1, "x")]


@pytest.mark.parametrize("reason", CLASSES)
@pytest.mark.parametrize(
    ("dialect", "answer"),
    [
        (TGI(), {"generated_text": "ab", "details": {"finish_reason": "REASON"}}),
        (TGI(), [{"generated_text": "ab", "details": {"finish_reason": "REASON"}}]),
        (Completions(), {"choices": [{"index": 0, "text": "ab", "finish_reason": "REASON"}]}),
        (
            Completions(),
            {
                "choices": [
                    {"index": 0, "text": "x", "finish_reason": "stop"},
                    {"index": 1, "text": "ab", "finish_reason": "REASON"},
                ]
            },
        ),
    ],
)
def test_answers(dialect, answer, reason):
    body = json.dumps(answer).replace("REASON", reason).encode()
    with pytest.raises(CLASSES[reason]) as caught:
        dialect.read_answers(body)
    assert caught.value.text == "ab"


ERRORS = [
    ({"code": 502, "message": "provider down"}, hfgen.ServerError, 502),
    ({"code": 429, "message": "slow down"}, hfgen.RateLimitError, 429),
    ({"message": "broken"}, hfgen.ServerError, 500),
    ("broken", hfgen.ServerError, 500),
    ({"type": "overloaded", "message": "full"}, hfgen.OverloadedError, 429),
]


@pytest.mark.parametrize(("error", "kind", "status"), ERRORS)
@pytest.mark.parametrize("reason", [None, "stop", "error"])
def test_an_error_beside_a_text_of_completions(error, kind, status, reason):
    body = completions_event("a") + completions_event("b", reason, error=error) + done()
    items, found, _, text = read(Completions(), body)
    assert (found, text) == (kind, "ab")
    assert [item.generated_text for item in items] == [None, None]
    for choice in (
        {"index": 0, "text": "ab", "finish_reason": reason, "error": error},
        {"index": 0, "error": error},
    ):
        body = json.dumps({"choices": [choice]}).encode()
        with pytest.raises(kind) as caught:
            Completions().read_answers(body)
        assert caught.value.status == status
        assert caught.value.body == body
        assert caught.value.text == choice.get("text", "")


@pytest.mark.parametrize(("error", "kind", "status"), ERRORS)
@pytest.mark.parametrize("select", [select_chunk, select_text])
def test_an_error_beside_a_text_of_tgi(error, kind, status, select):
    body = tgi_event("a") + tgi_event("b", "length", error=error)
    items, found, _, text = read(TGI(), body, select)
    assert (len(items), found, text) == (2, kind, "ab")
    body = json.dumps([{"generated_text": "ab", "error": error}]).encode()
    with pytest.raises(kind) as caught:
        TGI().read_answers(body)
    assert (caught.value.status, caught.value.text) == (status, "ab")


@pytest.mark.parametrize("reason", WHOLE)
@pytest.mark.parametrize("error", [None, "", {}, False])
def test_whole_texts(reason, error):
    answer = {"generated_text": "ab", "details": {"finish_reason": reason}, "error": error}
    assert TGI().read_answers(json.dumps(answer).encode())[0].generated_text == "ab"
    for select in (select_chunk, select_text):
        body = tgi_event("a") + tgi_event("b", reason, error=error)
        assert read(TGI(), body, select)[1] is None
    choice = {"index": 0, "text": "ab", "finish_reason": reason, "error": error}
    body = json.dumps({"choices": [choice]}).encode()
    assert Completions().read_answers(body)[0].generated_text == "ab"
    body = completions_event("ab") + completions_event("", reason, error=error) + done()
    assert read(Completions(), body)[0][-1].generated_text == "ab"


def test_details_that_cannot_be_read_do_not_matter_for_the_text_alone():
    body = tgi_event("a") + tgi_event("b", details={"finish_reason": ["?"]}, generated_text="ab")
    assert read(TGI(), body, select_text)[:2] == (["a", "b"], None)
