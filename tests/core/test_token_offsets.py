"""The places of tokens in a text, from the reports of each kind of server."""

import pytest

from hfgen._core.token_offsets import ReportedToken, locate_tokens

TEXT = "é 😶 a"


def spelled_tokens(*texts):
    return [ReportedToken(number, text, is_spelled=True) for number, text in enumerate(texts)]


def plain_tokens(*texts):
    return [ReportedToken(number, text) for number, text in enumerate(texts)]


def places(text, tokens):
    return [(token.text, token.start, token.stop) for token in locate_tokens(text, tokens)]


def test_offsets_in_bytes():
    tokens = [
        ReportedToken(0, "é", (0, 2)),
        ReportedToken(1, "😶", (3, 7)),
        ReportedToken(2, "a", (8, 9)),
    ]
    assert places(TEXT, tokens) == [("é", 0, 1), ("😶", 2, 3), ("a", 4, 5)]


def test_tokens_that_share_a_character_share_its_place():
    tokens = plain_tokens("é", " ", b"\xf0\x9f", b"\x98", b"\xb6 ", "a")
    shared = ("😶", 2, 3)
    assert places(TEXT, tokens)[2:] == [shared, shared, ("😶 ", 2, 4), ("a", 4, 5)]


def test_the_text_that_tgi_sends_is_ignored():
    assert places("éa", [ReportedToken(0, "éa", (0, 2)), ReportedToken(1, "", (2, 3))]) == [
        ("é", 0, 1),
        ("a", 1, 2),
    ]
    assert places("a", [ReportedToken(0, "", (0, 0))]) == [(None, None, None)]


@pytest.mark.parametrize("span", [(0, 0), (3, 2), (-1, 1), (0, 99)])
def test_invalid_offsets(span):
    assert places(TEXT, [ReportedToken(0, "<s>", span)]) == [("<s>", None, None)]


@pytest.mark.parametrize(
    "spelling",
    [
        ["é", " 😶", " a"],
        ["Ã©", "ĠðŁĺ", "¶", "Ġa"],
        ["▁é", "▁", "<0xF0>", "<0x9F>", "<0x98>", "<0xB6>", "▁a"],
        ["é", "▁😶", "▁a"],
    ],
)
def test_spellings(spelling):
    got = places(TEXT, spelled_tokens("<s>", *spelling))
    assert got[0] == ("<s>", None, None)
    assert got[1] == ("é", 0, 1)
    assert got[-1] == (" a", 3, 5)
    assert all(TEXT[start:stop] == text for text, start, stop in got[1:])


def test_a_text_that_begins_with_a_space():
    assert places(" a", spelled_tokens("▁▁a")) == [(" a", 0, 2)]
    assert places(" a", spelled_tokens("▁", "▁a")) == [("▁", None, None), (" a", 0, 2)]


def test_a_text_that_looks_like_a_spelling():
    assert places("Ġa▁", spelled_tokens("Äł", "a", "âĸģ")) == [
        ("Ġ", 0, 1),
        ("a", 1, 2),
        ("▁", 2, 3),
    ]


def test_an_unknown_spelling_is_not_shown():
    assert places("playing", spelled_tokens("play", "##ing")) == [(None, None, None)] * 2


def test_a_token_that_is_not_in_the_text_keeps_the_text_of_the_server():
    assert places("ﬁne", plain_tokens("fi", "ne")) == [("fi", None, None), ("ne", None, None)]


def test_ids_alone():
    assert places("a", [ReportedToken(5)]) == [(None, None, None)]


def test_no_text():
    assert places("", []) == []
    assert places("", spelled_tokens("<s>")) == [("<s>", None, None)]


def test_a_lone_surrogate():
    assert places("\ud800a", plain_tokens("a")) == [("a", None, None)]
