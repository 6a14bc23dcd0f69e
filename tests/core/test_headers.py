"""Headers: an immutable mapping that ignores case and hides secrets."""

import copy
import pickle

import pytest

from hfgen._core.headers import Headers


def test_names_are_looked_up_in_any_case():
    headers = Headers({"Content-Type": "a", "X-B": "b"})
    assert headers["content-type"] == headers["CONTENT-TYPE"] == "a"
    assert "x-b" in headers
    assert "X-B" in headers
    assert headers.get("x-c") is None
    assert 5 not in headers
    assert list(headers) == ["content-type", "x-b"]
    assert len(headers) == 2
    with pytest.raises(KeyError):
        headers["x-c"]


def test_are_frozen():
    headers = Headers({"a": "1"})
    with pytest.raises(TypeError):
        headers["a"] = "2"
    with pytest.raises((AttributeError, TypeError)):
        headers.other = 1


def test_of_duplicates_the_last_counts():
    merged = Headers({"A": "1", "B": "1"}) | {"b": "2"}
    assert dict(merged) == {"a": "1", "b": "2"}
    assert dict(Headers({"A": "1", "a": "2"})) == {"a": "2"}


def test_are_independent_of_the_dict_they_were_made_from():
    source = {"a": "1"}
    headers = Headers(source)
    source["a"] = "2"
    assert headers["a"] == "1"


def test_equality():
    assert Headers({"A": "1"}) == Headers({"a": "1"})
    assert Headers({"A": "1"}) == {"a": "1"}
    assert Headers({"A": "1"}) != {"a": "2"}


@pytest.mark.parametrize(
    "twin", [copy.copy, copy.deepcopy, lambda h: pickle.loads(pickle.dumps(h))]
)
def test_can_be_copied(twin):
    assert twin(Headers({"A": "1"})) == Headers({"a": "1"})


@pytest.mark.parametrize(
    "name",
    ["Authorization", "PROXY-AUTHORIZATION", "cookie", "Set-Cookie", "X-API-Key", "api-key"],
)
def test_secrets_are_not_shown(name):
    shown = repr(Headers({name: "hf_key", "x": "shown"}))
    assert "hf_key" not in shown
    assert "shown" in shown
    assert name.lower() in shown
