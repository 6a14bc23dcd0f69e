"""The same text as from hfgen's own server, by every verb and every way to name the server."""

import pytest

import hfgen

PROMPTS = ["Once upon a time", 'Lily: "é 😶 東京"\n\n', "One day, a fox called Ruby", "x"]


def make_request(prompt=PROMPTS[0], **parameters):
    return {"inputs": prompt, "parameters": {"max_new_tokens": 24, **parameters}}


@pytest.fixture(params=["", "/v1", "/v1/completions"], ids=["bare", "v1", "completions"])
def client_by_url(request, side, server):
    """A client that knows the server by one of its URLs."""
    return side.client(**{**server.options, "api_url": server.url + request.param})


@pytest.mark.parametrize("prompt", PROMPTS, ids=ascii)
def test_greedy_text_is_the_same(side, client_by_url, native, prompt):
    request = make_request(prompt)
    expected = native(request).generated_text
    (answer,) = side.call(client_by_url.run, request)
    assert answer.generated_text == expected
    assert "".join(side.collect(side.call(client_by_url.stream_tokens, request))) == expected
    chunks = side.collect(side.call(client_by_url.stream, request))
    assert chunks[-1].generated_text == expected
    assert [chunk.index for chunk in chunks] == list(range(1, len(chunks) + 1))
    text = "".join(chunk.token.text for chunk in chunks if not chunk.token.special)
    assert text == expected


def test_to_the_end_of_the_story(side, client, native):
    request = {"inputs": PROMPTS[0], "parameters": {"details": False}}
    expected = native({"inputs": PROMPTS[0], "parameters": {"details": True}})
    assert expected.details.finish_reason == "eos_token"
    (answer,) = side.call(client.run, request)
    assert answer.generated_text == expected.generated_text
    assert answer.details.finish_reason == "eos_token"
    last = side.collect(side.call(client.stream, request))[-1]
    assert last.generated_text == expected.generated_text
    assert last.details.finish_reason == "eos_token"


def test_the_rest_of_the_context(side, client, profile):
    if not profile.endless_parameters:
        pytest.skip("it cannot be told to go on after the end of the story")
    request = {"inputs": PROMPTS[0], "parameters": {"details": True, **profile.endless_parameters}}
    details = side.call(client.run, request)[0].details
    assert details.finish_reason == "length"
    assert details.input_length + details.generated_tokens in {511, 512}


def test_details(side, client, native):
    request = make_request(details=True)
    answer = side.call(client.run, request)[0]
    last = side.collect(side.call(client.stream, request))[-1]
    for details in (answer.details, last.details):
        assert details.finish_reason == "length"
        assert details.generated_tokens == 24
        assert details.input_length == 4
    assert answer.generated_text == native(request).generated_text


def test_full_text(side, client, native):
    request = make_request(return_full_text=True)
    expected = native(request).generated_text
    assert expected.startswith(PROMPTS[0])
    (answer,) = side.call(client.run, request)
    assert answer.generated_text == expected
    chunks = side.collect(side.call(client.stream, request))
    assert chunks[-1].generated_text == expected
    assert PROMPTS[0] + "".join(chunk.token.text for chunk in chunks) == expected


def test_full_text_with_details(side, client, profile, native):
    request = make_request(return_full_text=True, details=True, top_n_tokens=2)
    expected = native(request)
    (answer,) = side.call(client.run, request)
    assert answer.generated_text == expected.generated_text
    if profile.has_token_ids:
        ids = [token.id for token in expected.details.tokens]
        assert [token.id for token in answer.details.tokens] == ids


@pytest.mark.parametrize("length", [None, 2], ids=["whole", "half"])
def test_stop_strings(side, client, profile, native, length):
    if length and profile.kind == "tgi":
        pytest.skip("TGI stops at the ends of tokens only")
    whole = native(make_request(max_new_tokens=40)).generated_text
    word = whole.split()[6][:length]
    until = whole.index(word)
    (answer,) = side.call(client.run, make_request(max_new_tokens=40, stop=["never", word]))
    chunks = side.collect(side.call(client.stream, make_request(max_new_tokens=40, stop=[word])))
    ends = {
        "kept": whole[: until + len(word)],
        "cut": whole[:until],
        "token": whole[: until + len(whole.split()[6])],
    }
    assert answer.generated_text == ends[profile.stop_string]
    assert chunks[-1].generated_text == ends[profile.stop_string]
    assert "".join(chunk.token.text for chunk in chunks) == ends[profile.stop_string]
    # llama.cpp says "stop" in either case, and the text does not tell.
    expected = "stop" if profile.stop_string == "cut" else "stop_sequence"
    for details in (answer.details, chunks[-1].details):
        assert details.finish_reason == expected


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_repetition_penalty(side, client, native, profile, penalty):
    request = make_request(repetition_penalty=penalty)
    if profile.kind is None:
        # It takes no field that is not OpenAI's own.
        with pytest.raises(hfgen.ValidationError, match="repetition_penalty"):
            side.call(client.run, request)
        return
    (answer,) = side.call(client.run, request)
    assert answer.generated_text == native(request).generated_text


def test_streams_side_by_side(side, client, native):
    requests = [make_request(prompt) for prompt in PROMPTS]
    streams = [side.call(client.stream_tokens, request) for request in requests]
    texts = ["".join([side.next(s) for _ in range(3)]) for s in streams]
    rest = ["".join(side.collect(stream)) for stream in streams]
    expected = [native(request).generated_text for request in requests]
    assert [a + b for a, b in zip(texts, rest, strict=True)] == expected


def test_truncate(side, client, profile):
    request = make_request("Never mind. Once upon a time", truncate=4, details=True)
    if not profile.can_truncate:
        with pytest.raises(hfgen.InvalidRequestError, match="truncate"):
            side.call(client.run, request)
        return
    (answer,) = side.call(client.run, request)
    assert answer.details.input_length == 4
    assert answer.generated_text == side.call(client.run, make_request())[0].generated_text
