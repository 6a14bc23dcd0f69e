"""A client in another process: its options go there, its connections do not."""

import copy
import pickle
import ssl

import pytest

import hfgen
from helpers.scripted_answers import as_json
from hfgen import AbortController, Retry, Timeout

ANSWER = as_json({"generated_text": "a"})
OPTIONS = {
    "api_key": "hf_key",
    "headers": {"X-Mine": "1"},
    "timeout": Timeout(total=50),
    "retry": Retry(max_retries=7),
    "dialect": "tgi",
    "model": "owner/name",
    "seed": 3,
    "stop": ["."],
    "proxy": False,
}


def send(client):
    return pickle.loads(pickle.dumps(client))


def fetch(_):
    raise NotImplementedError


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, send])
def test_a_pickled_client_has_the_same_options(side, serve, twin):
    server = serve(ANSWER)
    client = side.client(api_url=server.url, **OPTIONS).with_options(top_k=4)
    other = twin(client)
    side._clients.append(other)
    assert repr(other) == repr(client)
    assert other._session.settings == client._session.settings
    side.call(client.run, "x")
    side.call(other.run, "x")
    first, second = server.requests
    assert first.json == second.json
    assert dict(first.headers) == dict(second.headers)
    assert first.connection != second.connection


def test_a_function_is_pickled_by_its_name(side):
    client = pickle.loads(pickle.dumps(side.client(fetch=fetch)))
    assert client._session.settings.fetch is fetch


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"signal": AbortController().signal}, "signal= cannot be pickled"),
        ({"ssl": ssl.create_default_context()}, "pass ssl= the path"),
    ],
)
def test_what_belongs_to_this_process_is_named(side, options, reason):
    with pytest.raises(TypeError, match=reason):
        pickle.dumps(side.client(**options))


def test_certificates_are_pickled_as_their_path(side, certificate):
    client = side.client(ssl=str(certificate[0]))
    other = pickle.loads(pickle.dumps(client))
    assert other._session._connection == {"ssl": str(certificate[0])}


class Mine(hfgen.Client):
    def __init__(self, name):
        super().__init__(model=name)
        self.name = name


def test_a_subclass_keeps_its_own_attributes():
    client = pickle.loads(pickle.dumps(Mine("owner/name")))
    assert (type(client), client.name) == (Mine, "owner/name")
    assert client._session.settings.model == "owner/name"
