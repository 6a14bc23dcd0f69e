"""The same text as from hfgen's own server, by every verb and every way to name the server."""

import pytest

import hfgen

PROMPTS = ["Once upon a time", 'Lily: "é 😶 東京"\n\n', "One day, a fox called Ruby", "x"]


def asking(prompt=PROMPTS[0], **parameters):
    return {"inputs": prompt, "parameters": {"max_new_tokens": 24, **parameters}}


@pytest.fixture(params=["", "/v1", "/v1/completions"], ids=["bare", "v1", "completions"])
def there(request, side, server):
    """A client that knows the server by one of its URLs."""
    return side.client(**{**server.options, "api_url": server.url + request.param})


@pytest.mark.parametrize("prompt", PROMPTS, ids=ascii)
def test_greedy_text_is_the_same(side, there, native, prompt):
    asked = asking(prompt)
    expected = native(asked).generated_text
    (answer,) = side.call(there.run, asked)
    assert answer.generated_text == expected
    assert "".join(side.collect(side.call(there.stream_tokens, asked))) == expected
    chunks = side.collect(side.call(there.stream, asked))
    assert chunks[-1].generated_text == expected
    assert [chunk.index for chunk in chunks] == list(range(1, len(chunks) + 1))
    said = "".join(chunk.token.text for chunk in chunks if not chunk.token.special)
    assert said == expected


def test_to_the_end_of_the_story(side, client, native):
    asked = {"inputs": PROMPTS[0], "parameters": {"details": False}}
    expected = native({"inputs": PROMPTS[0], "parameters": {"details": True}})
    assert expected.details.finish_reason == "eos_token"
    (answer,) = side.call(client.run, asked)
    assert answer.generated_text == expected.generated_text
    assert answer.details.finish_reason == "eos_token"
    last = side.collect(side.call(client.stream, asked))[-1]
    assert last.generated_text == expected.generated_text
    assert last.details.finish_reason == "eos_token"


def test_the_rest_of_the_context(side, client, like):
    if not like.on_and_on:
        pytest.skip("it cannot be told to go on after the end of the story")
    asked = {"inputs": PROMPTS[0], "parameters": {"details": True, **like.on_and_on}}
    details = side.call(client.run, asked)[0].details
    assert details.finish_reason == "length"
    assert details.input_length + details.generated_tokens in {511, 512}


def test_details(side, client, native):
    asked = asking(details=True)
    answer = side.call(client.run, asked)[0]
    last = side.collect(side.call(client.stream, asked))[-1]
    for details in (answer.details, last.details):
        assert details.finish_reason == "length"
        assert details.generated_tokens == 24
        assert details.input_length == 4
    assert answer.generated_text == native(asked).generated_text


def test_full_text(side, client, native):
    asked = asking(return_full_text=True)
    expected = native(asked).generated_text
    assert expected.startswith(PROMPTS[0])
    (answer,) = side.call(client.run, asked)
    assert answer.generated_text == expected
    chunks = side.collect(side.call(client.stream, asked))
    assert chunks[-1].generated_text == expected
    assert PROMPTS[0] + "".join(chunk.token.text for chunk in chunks) == expected


def test_full_text_with_details(side, client, like, native):
    asked = asking(return_full_text=True, details=True, top_n_tokens=2)
    expected = native(asked)
    (answer,) = side.call(client.run, asked)
    assert answer.generated_text == expected.generated_text
    if like.ids:
        ids = [token.id for token in expected.details.tokens]
        assert [token.id for token in answer.details.tokens] == ids


@pytest.mark.parametrize("length", [None, 2], ids=["whole", "half"])
def test_stop_strings(side, client, like, native, length):
    if length and like.kind == "tgi":
        pytest.skip("TGI stops at the ends of tokens only")
    whole = native(asking(max_new_tokens=40)).generated_text
    word = whole.split()[6][:length]
    until = whole.index(word)
    (answer,) = side.call(client.run, asking(max_new_tokens=40, stop=["never", word]))
    chunks = side.collect(side.call(client.stream, asking(max_new_tokens=40, stop=[word])))
    ends = {
        "kept": whole[: until + len(word)],
        "cut": whole[:until],
        "token": whole[: until + len(whole.split()[6])],
    }
    assert answer.generated_text == ends[like.stop]
    assert chunks[-1].generated_text == ends[like.stop]
    assert "".join(chunk.token.text for chunk in chunks) == ends[like.stop]
    # llama.cpp says "stop" in either case, and the text does not tell.
    expected = "stop" if like.stop == "cut" else "stop_sequence"
    for details in (answer.details, chunks[-1].details):
        assert details.finish_reason == expected


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_repetition_penalty(side, client, native, like, penalty):
    asked = asking(repetition_penalty=penalty)
    if like.kind is None:
        # It takes no field that is not OpenAI's own.
        with pytest.raises(hfgen.ValidationError, match="repetition_penalty"):
            side.call(client.run, asked)
        return
    (answer,) = side.call(client.run, asked)
    assert answer.generated_text == native(asked).generated_text


def test_streams_side_by_side(side, client, native):
    asks = [asking(prompt) for prompt in PROMPTS]
    streams = [side.call(client.stream_tokens, asked) for asked in asks]
    texts = ["".join([side.next(s) for _ in range(3)]) for s in streams]
    rest = ["".join(side.collect(stream)) for stream in streams]
    expected = [native(asked).generated_text for asked in asks]
    assert [a + b for a, b in zip(texts, rest, strict=True)] == expected


def test_truncate(side, client, like):
    asked = asking("Never mind. Once upon a time", truncate=4, details=True)
    if not like.truncates:
        with pytest.raises(hfgen.InvalidRequestError, match="truncate"):
            side.call(client.run, asked)
        return
    (answer,) = side.call(client.run, asked)
    assert answer.details.input_length == 4
    assert answer.generated_text == side.call(client.run, asking())[0].generated_text
