"""One model, one request, two dialects: the same text, token for token."""

import pytest

PROMPT = "Once upon a time"
TEXT = "Once é 👩 upon"
REQUESTS = {
    "greedy": {"max_new_tokens": 30, "details": True},
    "to its own end": {"max_new_tokens": 400, "details": True},
    "alternatives": {"max_new_tokens": 10, "top_n_tokens": 3, "details": True},
    "stopped": {"max_new_tokens": 60, "stop": ["."], "details": True},
    "drawn": {"max_new_tokens": 30, "temperature": 0.9, "seed": 7, "details": True},
    "drawn from the top": {"max_new_tokens": 30, "top_p": 0.8, "seed": 7, "details": True},
    "penalised": {"max_new_tokens": 30, "repetition_penalty": 1.3, "details": True},
    "with the prompt": {"max_new_tokens": 10, "return_full_text": True, "details": True},
}


@pytest.fixture(params=REQUESTS)
def request_(request):
    return {"inputs": PROMPT, "parameters": REQUESTS[request.param]}


def shown(token):
    """What both dialects tell of a token: completions have no ids."""
    return token.text, token.logprob, token.special


def tops(chunk):
    return [shown(token) for token in chunk.top_tokens or []]


def test_streams(side, local_server, request_):
    native = side.collect(side.stream(None, request_, api_url=f"{local_server.url}/generate"))
    other = side.collect(side.stream(None, request_, api_url=f"{local_server.url}/v1"))
    assert [(c.index, *shown(c.token)) for c in other] == [
        (c.index, *shown(c.token)) for c in native
    ]
    assert [tops(c) for c in other] == [tops(c) for c in native]
    ends = native[-1], other[-1]
    assert ends[1].generated_text == ends[0].generated_text
    for name in ("finish_reason", "generated_tokens", "input_length"):
        assert ends[1].details[name] == ends[0].details[name]


def test_answers(side, local_server, request_):
    [native] = side.run(None, request_, api_url=f"{local_server.url}/generate")
    [other] = side.run(None, request_, api_url=local_server.url, dialect="completions")
    assert other.generated_text == native.generated_text
    assert [shown(t) for t in other.details.tokens] == [shown(t) for t in native.details.tokens]
    assert other.details.finish_reason == native.details.finish_reason
    assert other.details.generated_tokens == native.details.generated_tokens


def test_tokens_of_a_text(side, local_server):
    client = side.client(api_url=local_server.url)
    said = side.call(client.tokenize, TEXT)
    # Tokens inside one character share its place.
    places = dict.fromkeys((token.start, token.stop) for token in said)
    assert "".join(TEXT[start:stop] for start, stop in places) == TEXT
    assert [token.text for token in said] == [TEXT[token.start : token.stop] for token in said]
