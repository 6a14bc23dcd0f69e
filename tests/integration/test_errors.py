"""What servers refuse, and how, as hfgen's errors."""

import pytest

import hfgen

VERBS = pytest.mark.parametrize("verb", ["run", "stream"])


def make_request(prompt="Once upon a time", **parameters):
    return {"inputs": prompt, "parameters": {"max_new_tokens": 8, **parameters}}


@VERBS
def test_a_prompt_beyond_the_context(side, client, profile, verb):
    request = make_request("q " * 600)
    if profile.too_long_error is None:
        # It goes on beyond what the model was made for.
        assert side.outcome(verb, None, request=request)
        return
    error = side.failure(getattr(client, verb), request)
    assert type(error) is profile.too_long_error
    assert error.status in {400, 422}
    assert "512" in error.message


@VERBS
def test_an_unknown_model(side, client, profile, verb):
    request = {**make_request(), "model": "no-such/model"}
    if profile.unknown_model_error is None:
        assert side.outcome(verb, None, request=request)
        return
    error = side.failure(getattr(client, verb), request)
    assert type(error) is profile.unknown_model_error
    assert "no-such/model" in error.message


@VERBS
@pytest.mark.parametrize("key", ["the-wrong-one", None])
def test_a_wrong_key(side, server, profile, verb, key):
    if not profile.has_key:
        pytest.skip("it asks for none")
    client = side.client(**{**server.options, "api_key": key})
    error = side.failure(getattr(client, verb), make_request())
    assert type(error) is hfgen.AuthenticationError
    assert error.status == 401


def test_a_port_without_a_server(side, client, unused_port):
    error = side.failure(
        client.run, make_request(), api_url=f"http://127.0.0.1:{unused_port}", max_retries=0
    )
    assert type(error) is hfgen.ConnectError
