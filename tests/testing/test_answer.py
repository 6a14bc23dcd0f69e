"""Answers as values, and the changes that make others of them."""

import dataclasses

import pytest

from hfgen.testing import Cut, Hang, Pause, ScriptedAnswer, answer


def test_it_is_a_frozen_value():
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
def test_at_no_place(place):
    with pytest.raises(ValueError, match="the body has"):
        answer(b"abc", Pause(1), b"de").at(place, Cut())


def test_every_place_keeps_the_bytes():
    said = answer(b"ab", b"", Pause(1), b"cde")
    for place in range(6):
        assert said.at(place, Pause(2)).content == b"abcde"
        assert said.at(place, Cut()).content == b"abcde"[:place]


def test_after_and_headers():
    said = answer(b"a", headers={"X-A": "1", "x-b": "2"}).after(2)
    assert said.delay == 2
    assert said.with_headers({"x-a": "3"}).headers == (("x-b", "2"), ("x-a", "3"))
    assert isinstance(said, ScriptedAnswer)
