"""Hugging Face's Inference Toolkit, a choice of Inference Endpoints: transformers pipelines."""

import pytest

import hfgen
from helpers.inference_toolkit import TEXT, respond_as_toolkit

WITHOUT_PROMPT = {"return_full_text": False}
REQUEST = {"inputs": "Once", "parameters": WITHOUT_PROMPT}


@pytest.fixture(params=["", "/", "/predict"])
def url(request, serve):
    return serve(respond_as_toolkit, speaks=None).url + request.param


@pytest.fixture(params=["auto", "tgi"])
def options(request, url):
    return {"api_url": url, "dialect": request.param, "max_retries": 0}


def make_request(**parameters):
    return {"inputs": "Once", "parameters": {**WITHOUT_PROMPT, **parameters}}


def test_run(side, options):
    (answer,) = side.run(None, REQUEST, **options)
    assert answer.generated_text == TEXT
    assert side.run(None, "Once", **options)[0].generated_text == f"Once{TEXT}"


def test_streams(side, options):
    (chunk,) = side.collect(side.stream(None, REQUEST, **options))
    assert (chunk.generated_text, chunk.token.text) == (TEXT, TEXT)
    assert side.collect(side.stream_tokens(None, REQUEST, **options)) == [TEXT]
    body = b"".join(side.collect(side.stream_bytes(None, REQUEST, **options)))
    assert body == b'[{"generated_text": " upon"}]'


@pytest.mark.parametrize("stream", [True, False])
def test_many(side, options, stream):
    client = side.client(**options)
    requests = [make_request(max_new_tokens=count) for count in range(1, 6)]
    results = side.collect(client.generate_many(requests, stream=stream))
    assert [(result.error, result.generated_text) for result in results] == [(None, TEXT)] * 5


@pytest.mark.parametrize("verb", ["run", "stream"])
def test_several_sequences(side, options, verb):
    request = make_request(num_return_sequences=3, temperature=1.0)
    items = side.outcome(verb, None, request=request, **options)
    assert [item.generated_text for item in items] == [f"{TEXT} {number}" for number in range(3)]


def test_tokens_are_drawn_as_everywhere(side, options):
    for drawing in ({"temperature": 1.0}, {"do_sample": True}, {"top_p": 0.9}):
        (answer,) = side.run(None, make_request(**drawing), **options)
        assert answer.generated_text == f"{TEXT} 0"
    for off in ({}, {"max_new_tokens": 3}, {"do_sample": False, "top_p": 0.9}):
        (answer,) = side.run(None, make_request(**off), **options)
        assert answer.generated_text == TEXT


def test_a_parameter_that_it_does_not_know_is_its_own_error(side, options):
    with pytest.raises(hfgen.ValidationError, match=r"not used by the model: \['details'\]"):
        side.run(None, make_request(details=True), **options)
