"""Tokens that are drawn: seeds, and several sequences."""

import pytest

import hfgen

SAMPLING = {"do_sample": True, "temperature": 1.0, "max_new_tokens": 16}


def make_request(**parameters):
    return {"inputs": "Once upon a time", "parameters": {**SAMPLING, **parameters}}


def test_a_seed_is_reproducible(side, client, profile):
    def text(seed):
        request = make_request(seed=seed, **profile.sampling_parameters)
        chunks = side.collect(side.call(client.stream, request))
        whole = side.call(client.run, request)[0].generated_text
        assert chunks[-1].generated_text == whole
        return whole

    texts = [text(seed) for seed in (1, 2, 3, 1)]
    assert texts[0] == texts[-1]
    assert len({*texts}) > 1


def test_temperature_alone_is_greedy_where_the_server_needs_its_own_parameters(
    side, client, profile, native
):
    if not profile.sampling_parameters:
        pytest.skip("`temperature` will do")
    greedy = native({"inputs": "Once upon a time", "parameters": {"max_new_tokens": 16}})
    for seed in (1, 2, 3):
        (answer,) = side.call(client.run, make_request(seed=seed))
        assert answer.generated_text == greedy.generated_text


def test_top_k_of_one_is_greedy(side, client, profile, native):
    request = make_request(top_k=1)
    if profile.kind == "tgi":
        with pytest.raises(hfgen.InvalidRequestError, match="top_k"):
            side.call(client.run, request)
        return
    if profile.kind is None:
        # It takes no field that is not OpenAI's own.
        with pytest.raises(hfgen.ValidationError, match="top_k"):
            side.call(client.run, request)
        return
    expected = native({"inputs": "Once upon a time", "parameters": {"max_new_tokens": 16}})
    assert side.call(client.run, request)[0].generated_text == expected.generated_text


def test_several_sequences(side, client, profile):
    request = make_request(num_return_sequences=2, seed=7)
    if profile.several_sequences == "refused":
        for verb in (client.run, client.stream):
            with pytest.raises(hfgen.InvalidRequestError, match="num_return_sequences"):
                side.call(verb, request)
        return
    if profile.several_sequences == "ignored":
        with pytest.raises(hfgen.MalformedAnswerError, match="1 of 2 texts"):
            side.call(client.run, request)
        with pytest.raises(hfgen.IncompleteGenerationError) as caught:
            side.collect(side.call(client.stream, request))
        assert caught.value.text
        return
    answers = side.call(client.run, request)
    assert len({answer.generated_text for answer in answers}) == 2
    chunks = side.collect(side.call(client.stream, request))
    for number, answer in enumerate(answers):
        own = [chunk for chunk in chunks if chunk.sequence == number]
        assert own[-1].generated_text == answer.generated_text
        assert own[-1].details.finish_reason == "length"
        assert "".join(chunk.token.text for chunk in own) == answer.generated_text
        assert [chunk.index for chunk in own] == list(range(1, len(own) + 1))


def test_several_sequences_with_details(side, client, profile):
    if profile.several_sequences != "all":
        pytest.skip("it gives one")
    request = make_request(num_return_sequences=2, seed=7, details=True, top_n_tokens=2)
    for answer in side.call(client.run, request):
        assert answer.details.generated_tokens == len(answer.details.tokens) == 16
        assert "".join(token.text for token in answer.details.tokens) == answer.generated_text
    chunks = side.collect(side.call(client.stream, request))
    for number in range(2):
        own = [chunk for chunk in chunks if chunk.sequence == number]
        assert len(own) == own[-1].details.generated_tokens == 16
        assert all(chunk.token.id is not None for chunk in own)
