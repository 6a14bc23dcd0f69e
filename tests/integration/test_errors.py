"""What servers refuse, and how, as hfgen's errors."""

import pytest

import hfgen

VERBS = pytest.mark.parametrize("verb", ["run", "stream"])


def asking(prompt="Once upon a time", **parameters):
    return {"inputs": prompt, "parameters": {"max_new_tokens": 8, **parameters}}


@VERBS
def test_a_prompt_beyond_the_context(side, client, like, verb):
    asked = asking("q " * 600)
    if like.too_long is None:
        # It goes on beyond what the model was made for.
        assert side.outcome(verb, None, request=asked)
        return
    error = side.failure(getattr(client, verb), asked)
    assert type(error) is like.too_long
    assert error.status in {400, 422}
    assert "512" in error.message


@VERBS
def test_an_unknown_model(side, client, like, verb):
    asked = {**asking(), "model": "no-such/model"}
    if like.no_model is None:
        assert side.outcome(verb, None, request=asked)
        return
    error = side.failure(getattr(client, verb), asked)
    assert type(error) is like.no_model
    assert "no-such/model" in error.message


@VERBS
@pytest.mark.parametrize("key", ["the-wrong-one", None])
def test_a_wrong_key(side, server, like, verb, key):
    if not like.has_key:
        pytest.skip("it asks for none")
    client = side.client(**{**server.options, "api_key": key})
    error = side.failure(getattr(client, verb), asking())
    assert type(error) is hfgen.AuthenticationError
    assert error.status == 401


def test_nobody_there(side, client, unused_port):
    error = side.failure(
        client.run, asking(), api_url=f"http://127.0.0.1:{unused_port}", max_retries=0
    )
    assert type(error) is hfgen.ConnectError
