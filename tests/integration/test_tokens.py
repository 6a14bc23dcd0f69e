"""Ids, log-probabilities and alternatives of tokens."""

import pytest

REQUEST = {
    "inputs": "Once upon a time",
    "parameters": {"max_new_tokens": 12, "details": True, "top_n_tokens": 3},
}
TO_THE_END = {"inputs": "Once upon a time", "parameters": {"details": True}}


@pytest.fixture(autouse=True)
def needs_token_ids(profile):
    if not profile.has_token_ids:
        pytest.skip("it does not tell")


def flat(tokens):
    return [(token.id, token.text) for token in tokens]


def test_the_tokens_of_an_answer(side, client, native):
    expected = native(REQUEST).details
    details = side.call(client.run, REQUEST)[0].details
    assert flat(details.tokens) == flat(expected.tokens)
    for token, expected_token in zip(details.tokens, expected.tokens, strict=True):
        assert token.logprob == pytest.approx(expected_token.logprob, abs=1e-3)


def test_the_tokens_of_a_stream(side, client, native):
    expected = native(REQUEST).details
    tokens = [chunk.token for chunk in side.collect(side.call(client.stream, REQUEST))]
    assert flat(tokens) == flat(expected.tokens)
    for token, expected_token in zip(tokens, expected.tokens, strict=True):
        assert token.logprob == pytest.approx(expected_token.logprob, abs=1e-3)


def test_alternatives(side, client, native):
    expected = native(REQUEST).details.top_tokens
    chunks = side.collect(side.call(client.stream, REQUEST))
    whole = side.call(client.run, REQUEST)[0].details.top_tokens
    for all_top_tokens in (whole, [chunk.top_tokens for chunk in chunks]):
        assert [len(tops) for tops in all_top_tokens] == [3] * 12
        for tops, expected_token in zip(all_top_tokens, expected, strict=True):
            assert [token.text for token in tops] == [token.text for token in expected_token]
            logprobs = [token.logprob for token in tops]
            assert logprobs == pytest.approx([token.logprob for token in expected_token], abs=1e-3)


def test_token_for_token_to_the_end(side, client, native):
    expected = native(TO_THE_END)
    (answer,) = side.call(client.run, TO_THE_END)
    chunks = side.collect(side.call(client.stream, TO_THE_END))
    assert answer.generated_text == chunks[-1].generated_text == expected.generated_text
    ids = [token.id for token in expected.details.tokens]
    for tokens in (answer.details.tokens, [chunk.token for chunk in chunks]):
        assert [token.id for token in tokens] == ids
        # The end of the text is a token too.
        assert [token.special for token in tokens] == [*[False] * (len(ids) - 1), True]
    for details in (answer.details, chunks[-1].details):
        assert details.generated_tokens == len(ids)


def test_characters_of_several_tokens(side, client):
    text = "é東😶‍🌫️京ß"
    grammar = {"type": "json", "value": {"enum": [text]}}
    request = {"inputs": "x", "parameters": {**REQUEST["parameters"], "max_new_tokens": 60}}
    request["parameters"]["grammar"] = grammar
    (answer,) = side.call(client.run, request)
    chunks = side.collect(side.call(client.stream, request))
    for tokens in (answer.details.tokens, [chunk.token for chunk in chunks]):
        assert "".join(token.text for token in tokens if not token.special) == f'"{text}"'
        assert tokens[-1].special
    assert answer.generated_text == chunks[-1].generated_text == f'"{text}"'
    assert answer.details.generated_tokens == chunks[-1].details.generated_tokens == 27
    # llama.cpp reports only the last token of each character.
    possible_counts = {len(text) + 3, 27}
    assert {len(answer.details.tokens), len(chunks)} <= possible_counts
