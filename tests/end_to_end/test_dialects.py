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


def common_fields(token):
    """Return the fields of a token that both dialects have: completions have no ids."""
    return token.text, token.logprob, token.special


def common_top_tokens(chunk):
    return [common_fields(token) for token in chunk.top_tokens or []]


def test_streams(side, local_server, request_):
    native = side.collect(side.stream(None, request_, api_url=f"{local_server.url}/generate"))
    completions = side.collect(side.stream(None, request_, api_url=f"{local_server.url}/v1"))
    assert [(c.index, *common_fields(c.token)) for c in completions] == [
        (c.index, *common_fields(c.token)) for c in native
    ]
    assert [common_top_tokens(c) for c in completions] == [common_top_tokens(c) for c in native]
    last_chunks = native[-1], completions[-1]
    assert last_chunks[1].generated_text == last_chunks[0].generated_text
    for name in ("finish_reason", "generated_tokens", "input_length"):
        assert last_chunks[1].details[name] == last_chunks[0].details[name]


def test_answers(side, local_server, request_):
    [native] = side.run(None, request_, api_url=f"{local_server.url}/generate")
    [completion] = side.run(None, request_, api_url=local_server.url, dialect="completions")
    assert completion.generated_text == native.generated_text
    assert [common_fields(t) for t in completion.details.tokens] == [
        common_fields(t) for t in native.details.tokens
    ]
    assert completion.details.finish_reason == native.details.finish_reason
    assert completion.details.generated_tokens == native.details.generated_tokens


class TestSampling:
    """The same parameters draw tokens, or do not, on both routes of a server."""

    def _texts(self, side, local_server, parameters):
        request = {"inputs": "Once upon a time"}
        if parameters is not None:
            request["parameters"] = parameters
        return {
            side.run(None, request, api_url=local_server.url + route)[0].generated_text
            for route in ("/generate", "/v1", "")
        } | {
            side.collect(side.stream(None, request, api_url=local_server.url + route))[
                -1
            ].generated_text
            for route in ("/generate", "/v1")
        }

    @pytest.mark.parametrize(
        "drawing",
        [{"temperature": 1.0}, {"do_sample": True}, {"top_p": 0.95}],
        ids=["temperature", "do_sample", "top_p"],
    )
    def test_is_as_the_parameters_say(self, side, local_server, drawing):
        texts = set()
        for seed in (1, 2, 3):
            parameters = {**drawing, "seed": seed, "max_new_tokens": 16, "return_full_text": False}
            (text,) = self._texts(side, local_server, parameters)
            texts.add(text)
        assert len(texts) > 1

    def test_is_off_if_they_do_not_ask_for_it(self, side, local_server):
        texts = [
            self._texts(
                side, local_server, {**off, "max_new_tokens": 16, "return_full_text": False}
            )
            for off in ({}, {"seed": 5}, {"temperature": 0}, {"do_sample": False, "top_p": 0.9})
        ]
        assert len(set().union(*texts)) == 1

    def test_is_off_without_parameters(self, side, local_server):
        for route in ("/generate", "/v1"):
            url = local_server.url + route
            first, second = (side.run(None, "The end.", api_url=url) for _ in range(2))
            assert first[0].generated_text == second[0].generated_text
            chunks = side.collect(side.stream(None, "Once upon a time", api_url=url))
            assert chunks[-1].generated_text == "".join(
                c.token.text for c in chunks if not c.token.special
            )


def test_tokens_of_a_text(side, local_server):
    client = side.client(api_url=local_server.url)
    tokens = side.call(client.tokenize, TEXT)
    # Tokens inside one character share its offsets.
    offsets = dict.fromkeys((token.start, token.stop) for token in tokens)
    assert "".join(TEXT[start:stop] for start, stop in offsets) == TEXT
    assert [token.text for token in tokens] == [TEXT[token.start : token.stop] for token in tokens]
