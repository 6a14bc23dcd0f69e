"""Tokens that are drawn: seeds, and several sequences."""

import pytest

import hfgen

SAMPLING = {"do_sample": True, "temperature": 1.0, "max_new_tokens": 16}


def asking(**parameters):
    return {"inputs": "Once upon a time", "parameters": {**SAMPLING, **parameters}}


def test_a_seed_is_reproducible(side, client, like):
    def text(seed):
        asked = asking(seed=seed, **like.to_sample)
        chunks = side.collect(side.call(client.stream, asked))
        whole = side.call(client.run, asked)[0].generated_text
        assert chunks[-1].generated_text == whole
        return whole

    texts = [text(seed) for seed in (1, 2, 3, 1)]
    assert texts[0] == texts[-1]
    assert len({*texts}) > 1


def test_drawing_that_has_to_be_asked_for_in_a_servers_own_words(side, client, like, native):
    if not like.to_sample:
        pytest.skip("`temperature` will do")
    greedy = native({"inputs": "Once upon a time", "parameters": {"max_new_tokens": 16}})
    for seed in (1, 2, 3):
        (answer,) = side.call(client.run, asking(seed=seed))
        assert answer.generated_text == greedy.generated_text


def test_top_k_of_one_is_greedy(side, client, like, native):
    asked = asking(top_k=1)
    if like.kind == "tgi":
        with pytest.raises(hfgen.InvalidRequestError, match="top_k"):
            side.call(client.run, asked)
        return
    if like.kind is None:
        # It takes no field that is not OpenAI's own.
        with pytest.raises(hfgen.ValidationError, match="top_k"):
            side.call(client.run, asked)
        return
    expected = native({"inputs": "Once upon a time", "parameters": {"max_new_tokens": 16}})
    assert side.call(client.run, asked)[0].generated_text == expected.generated_text


def test_several_sequences(side, client, like):
    asked = asking(num_return_sequences=2, seed=7)
    if like.several == "refused":
        for verb in (client.run, client.stream):
            with pytest.raises(hfgen.InvalidRequestError, match="num_return_sequences"):
                side.call(verb, asked)
        return
    answers = side.call(client.run, asked)
    if like.several == "ignored":
        assert len(answers) == 1
        with pytest.raises(hfgen.IncompleteGenerationError) as caught:
            side.collect(side.call(client.stream, asked))
        assert answers[0].generated_text.startswith(caught.value.text)
        assert caught.value.text
        return
    assert len({answer.generated_text for answer in answers}) == 2
    chunks = side.collect(side.call(client.stream, asked))
    for number, answer in enumerate(answers):
        own = [chunk for chunk in chunks if chunk.sequence == number]
        assert own[-1].generated_text == answer.generated_text
        assert own[-1].details.finish_reason == "length"
        assert "".join(chunk.token.text for chunk in own) == answer.generated_text
        assert [chunk.index for chunk in own] == list(range(1, len(own) + 1))


def test_several_sequences_with_details(side, client, like):
    if like.several != "all":
        pytest.skip("it gives one")
    asked = asking(num_return_sequences=2, seed=7, details=True, top_n_tokens=2)
    for answer in side.call(client.run, asked):
        assert answer.details.generated_tokens == len(answer.details.tokens) == 16
        assert "".join(token.text for token in answer.details.tokens) == answer.generated_text
    chunks = side.collect(side.call(client.stream, asked))
    for number in range(2):
        own = [chunk for chunk in chunks if chunk.sequence == number]
        assert len(own) == own[-1].details.generated_tokens == 16
        assert all(chunk.token.id is not None for chunk in own)
