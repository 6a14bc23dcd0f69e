"""What a server says of itself, and how it cuts a text into tokens."""

import pytest

import hfgen

TEXTS = ["Once upon a time", "é 😶‍🌫️ 東京 — né Zoë", "<|endoftext|>Once", "  two\n\n", ""]


@pytest.mark.parametrize("route", ["", "/", "/v1", "/v1/completions"])
def test_info(side, server, client, profile, route):
    info = side.call(client.info, api_url=server.url + route)
    assert info.server == profile.kind
    if profile.kind == "tgi":
        assert info.max_total_tokens == 512
        return
    assert info.model_id == profile.model
    assert info["models"] if profile.model else info["models"] == []
    assert info.max_total_tokens == (512 if profile.kind else None)
    assert (info.version is not None) == (profile.kind is not None)


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_tokenize(side, server, client, profile, local_server, text):
    if not profile.can_tokenize:
        with pytest.raises(hfgen.InvalidRequestError, match="tokenize"):
            side.call(client.tokenize, text)
        return
    tokens = side.call(client.tokenize, text)
    with hfgen.Client(api_url=local_server.url) as native:
        expected = native.tokenize(text)
    assert [token.id for token in tokens] == [token.id for token in expected]
    places = [(token.start, token.stop) for token in tokens]
    assert places == [(token.start, token.stop) for token in expected]
    assert all(text[token.start : token.stop] == token.text for token in tokens)
    covered = {at for start, stop in places for at in range(start, stop)}
    assert covered == set(range(len(text)))
