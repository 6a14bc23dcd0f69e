"""Answers: values with methods that return changed copies, and the usual answers."""

import dataclasses
import json

import pytest

from hfgen import Client, IncompleteGenerationError
from hfgen.testing import (
    Cut,
    Hang,
    Pause,
    ScriptedAnswer,
    Special,
    answer,
    as_json,
    chunk,
    comment,
    done,
    event,
    events,
    fault,
    generated,
    loading,
    overloaded,
    status,
    tokens,
)


def test_an_answer_is_a_frozen_value():
    assert answer(b"a", Pause(1), headers={"a": "b"}) == answer(b"a", Pause(1), headers={"a": "b"})
    assert len({answer(b"a"), answer(b"a"), answer(b"b")}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        answer(b"a").status = 5


@pytest.mark.parametrize("step", ["text", None, {"a": 1}, Cut, 5])
def test_a_step_of_a_wrong_type(step):
    with pytest.raises(TypeError, match="Pause, Hang or Cut"):
        answer(b"a", step)


def test_a_framing_of_a_wrong_name():
    with pytest.raises(ValueError, match="chunked, length, close, raw"):
        answer(b"a", framing="gzip")


def test_the_content_is_what_is_sent():
    assert answer(b"a", Pause(1), b"b").content == b"ab"
    assert answer(b"a", Hang(), b"b").content == b"a"
    assert answer(b"a", Cut(), b"b").content == b"a"


def test_in_pieces():
    assert answer(b"abc", Pause(1), b"d").in_pieces().body == (b"a", b"b", b"c", Pause(1), b"d")
    assert answer(b"abc", b"de").in_pieces(2).body == (b"ab", b"c", b"de")
    with pytest.raises(ValueError, match="at least 1"):
        answer(b"abc").in_pieces(0)


def test_slowly():
    assert answer(b"abc", Hang()).slowly(0.5, size=2).body == (
        b"ab", Pause(0.5), b"c", Pause(0.5), Hang()
    )  # fmt: skip


@pytest.mark.parametrize(
    ("place", "body"),
    [
        (0, (Cut(), b"abc", Pause(1), b"de")),
        (1, (b"a", Cut(), b"bc", Pause(1), b"de")),
        (3, (b"abc", Cut(), Pause(1), b"de")),
        (4, (b"abc", Pause(1), b"d", Cut(), b"e")),
        (-1, (b"abc", Pause(1), b"d", Cut(), b"e")),
        (5, (b"abc", Pause(1), b"de", Cut())),
        (b"ab", (b"ab", Cut(), b"c", Pause(1), b"de")),
        (b"cd", (b"abc", Pause(1), b"d", Cut(), b"e")),
    ],
)
def test_at_a_place(place, body):
    assert answer(b"abc", Pause(1), b"de").at(place, Cut()).body == body


def test_at_the_start_of_an_empty_body():
    assert answer().at(0, Hang()).body == (Hang(),)


@pytest.mark.parametrize("place", [6, -6, b"x"])
def test_a_place_that_the_body_does_not_have(place):
    with pytest.raises(ValueError, match="the body has"):
        answer(b"abc", Pause(1), b"de").at(place, Cut())


def test_every_place_keeps_the_bytes():
    scripted = answer(b"ab", b"", Pause(1), b"cde")
    for place in range(6):
        assert scripted.at(place, Pause(2)).content == b"abcde"
        assert scripted.at(place, Cut()).content == b"abcde"[:place]


def test_after_and_headers():
    scripted = answer(b"a", headers={"X-A": "1", "x-b": "2"}).after(2)
    assert scripted.delay == 2
    assert scripted.with_headers({"x-a": "3"}).headers == (("x-b", "2"), ("x-a", "3"))
    assert isinstance(scripted, ScriptedAnswer)


def chunks(scripted):
    """The chunks of an answer, as plain mappings."""
    parts = scripted.content.decode().split("\n\n")
    return [json.loads(part.removeprefix("data: ")) for part in parts if part[:4] == "data"]


def test_tokens_have_indexes_and_the_last_one_the_whole_text():
    first, second, last = chunks(tokens("Once", " upon", Special("</s>")))
    assert [c["index"] for c in (first, second, last)] == [1, 2, 3]
    assert [c["token"]["text"] for c in (first, second, last)] == ["Once", " upon", "</s>"]
    assert [c["token"]["special"] for c in (first, second, last)] == [False, False, True]
    assert [c["generated_text"] for c in (first, second, last)] == [None, None, "Once upon"]
    assert last["details"] is None


def test_a_special_token_may_come_first():
    assert chunks(tokens(Special("<s>"), "a"))[-1]["generated_text"] == "a"


def test_equal_tokens_have_their_own_indexes():
    sent = chunks(tokens("a", "a", "a"))
    assert [c["index"] for c in sent] == [1, 2, 3]
    assert [c["generated_text"] for c in sent] == [None, None, "aaa"]


def test_details():
    usual = {"finish_reason": "length", "generated_tokens": 2, "seed": None, "input_length": 1}
    assert chunks(tokens("a", "b", details=True))[-1]["details"] == usual
    assert chunks(tokens("a", "b", details=True))[0]["details"] is None
    with_seed = tokens("a", "b", details={"seed": 5})
    assert chunks(with_seed)[-1]["details"] == {**usual, "seed": 5}
    stopped = tokens("a", "b", finish_reason="stop_sequence")
    assert chunks(stopped)[-1]["details"] == {**usual, "finish_reason": "stop_sequence"}
    ended = tokens("a", Special("</s>"), details=True)
    assert chunks(ended)[-1]["details"] == {**usual, "finish_reason": "eos_token"}


@pytest.mark.parametrize("after", [Cut(), Cut(reset=True), Hang(), fault("oh")])
def test_tokens_that_break_off_have_no_last_event(after):
    assert chunks(tokens("a", after))[0]["generated_text"] is None
    assert chunks(tokens("a", after, ends=True))[0]["generated_text"] == "a"


@pytest.mark.parametrize("after", [Pause(1), comment(), done()])
def test_tokens_before_a_pause_or_a_comment_have_a_last_event(after):
    assert tokens("a", after).body[0] == event(chunk("a", generated_text="a"))
    assert tokens("a", after, ends=False).body[0] == event(chunk("a"))


def test_no_tokens():
    assert tokens().body == ()
    assert tokens(Hang()).body == (Hang(),)


def test_steps_among_tokens_stay_where_they_are():
    body = tokens("a", Pause(1), comment(), "b").body
    assert body[1:3] == (Pause(1), comment())
    assert len(body) == 4


def test_content_types():
    assert dict(tokens("a").headers) == {"content-type": "text/event-stream"}
    assert dict(as_json(1, headers={"X": "y"}).headers) == {
        "content-type": "application/json",
        "x": "y",
    }
    mine = {"Content-Type": "text/event-stream; charset=utf-8"}
    assert dict(events(headers=mine).headers) == {"content-type": mine["Content-Type"]}
    assert dict(status(500, "oh").headers) == {"content-type": "text/plain; charset=utf-8"}
    assert status(500, b"oh").headers == ()


def test_statuses():
    assert (status(503, "é").status, status(503, "é").content) == (503, "é".encode())
    assert status(401).body == ()
    scripted = loading(300.9, headers={"Retry-After": "1"})
    assert scripted.status == 503
    assert json.loads(scripted.content) == {
        "error": "Model scripted/model is currently loading",
        "estimated_time": 300.9,
    }
    assert dict(scripted.headers)["retry-after"] == "1"
    assert overloaded().status == 429
    assert json.loads(overloaded().content)["error_type"] == "overloaded"
    assert dict(overloaded(retry_after=0.5).headers)["retry-after"] == "0.5"


def test_generated():
    assert json.loads(generated("a").content) == {"generated_text": "a"}
    scripted = generated("a", details={"seed": 5})
    assert json.loads(scripted.content) == {"generated_text": "a", "details": {"seed": 5}}


def test_hfgen_reads_the_usual_answers(serve):
    server = serve(
        overloaded(retry_after=0),
        tokens("Once", " upon", Special("</s>"), finish_reason="eos_token"),
        generated("Once"),
        tokens("Once", " upon", Cut()),
    )
    with Client(api_url=server.url) as client:
        *_, last = client.stream("x")
        assert last.generated_text == "Once upon"
        assert last.details.finish_reason == "eos_token"
        assert client.run("x")[0].generated_text == "Once"
        stream = client.stream_tokens("x")
        assert [next(stream), next(stream)] == ["Once", " upon"]
        with pytest.raises(IncompleteGenerationError):
            next(stream)
