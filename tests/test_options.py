"""Options: their checks, how they are merged, and that they show no secrets."""

import copy
import math
import pickle
from typing import get_type_hints

import pytest

import hfgen
import hfgen.types
from hfgen import AbortController
from hfgen._core.settings import Settings
from hfgen._options import _CHECKS, _REQUEST_OPTIONS

WRONG = {
    "api_key": [5, b"hf_key", ["hf_key"], True],
    "api_url": [5, "", "host/path", "ftp://host/", b"http://host/"],
    "fetch": [5, "fetch", object()],
    "headers": [5, "a: b", [("a", "b")], {"a": 1}, {1: "a"}, {"a": b"b"}, {"": "x"}, {"a b": "x"},
                {"a:": "x"}, {"a\n": "x"}, {"é": "x"}, {"a": "x\r\ny: z"}, {"a": "x\n"},
                {"a": "\0"}, {"a": "日"}, {"a": None}],
    "signal": [5, AbortController(), True, "signal"],
    "timeout": [0, -1, "5", True, math.nan, -math.inf, (5, 5), 1j],
    "max_event_bytes": [0, -1, 1.5, "2", True],
    "max_retries": [-1, 1.5, "2", True, math.inf],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_wrong_value_is_refused_by_name(side, name, value):
    with pytest.raises(hfgen.InvalidRequestError, match=name if name != "headers" else "header"):
        side.client(**{name: value})
    client = side.client()
    with pytest.raises(hfgen.InvalidRequestError):
        client.with_options(**{name: value})
    with pytest.raises(hfgen.InvalidRequestError):
        side.call(client.run, "x", **{name: value})


@pytest.mark.parametrize("name", [*WRONG])
def test_none_keeps_the_value_of_the_client(side, name):
    options = {
        "api_key": "hf_key",
        "api_url": "http://host/",
        "fetch": print,
        "headers": {"a": "b"},
        "signal": AbortController().signal,
        "timeout": 5,
        "max_retries": 7,
    }
    client = side.client(**options)
    settings = client.with_options(**{name: None})._session.settings
    if name == "timeout":
        assert settings.timeout == hfgen.Timeout.of(None)
    else:
        assert settings == client._session.settings


@pytest.mark.parametrize("value", [0.001, 1, 5.5, 10**9, 10**400, math.inf, None])
def test_any_number_of_seconds_will_do(side, value):
    assert side.client(timeout=value)


@pytest.mark.parametrize("value", [2_000_000, 3_000_000, 10**9, 10**12, None])
def test_a_long_timeout_works(side, serve, value):
    from helpers.scripted_answers import as_json  # noqa: PLC0415

    server = serve(as_json({"generated_text": "a"}))
    assert side.run(server, timeout=value)[0].generated_text == "a"


def test_the_docs_name_every_option():
    for options in (hfgen.types.Options, hfgen.types.AsyncOptions):
        assert set(get_type_hints(options)) == {*_CHECKS, *_REQUEST_OPTIONS}


def test_settings_are_frozen():
    settings = Settings()
    with pytest.raises(AttributeError):
        settings.timeout = 5


def test_headers_are_copied():
    headers = {"a": "1"}
    client = hfgen.Client(headers=headers)
    headers["a"] = "2"
    assert client._session.settings.headers["A"] == "1"


@pytest.mark.parametrize(
    ("value", "shown"),
    [("x\r\nhf_key", "hf_key"), ("hf_key日", "hf_key"), ("hf_key\0", "hf_key")],
)
def test_a_wrong_header_does_not_show_its_value(value, shown):
    with pytest.raises(hfgen.InvalidRequestError) as caught:
        hfgen.Client(headers={"authorization": value})
    assert shown not in str(caught.value)


def test_settings_show_no_key():
    settings = Settings(api_key="hf_key", api_url="http://host/?token=hf_key", resume=True)
    assert "hf_key" not in f"{settings!r} {settings} {settings.__rich_repr__()}"
    assert repr(settings) == "api_key='***', api_url='http://host/', resume=True"


@pytest.mark.parametrize("value", [hfgen.Retry(max_retries=1), hfgen.Timeout(total=3)])
def test_policies_are_values(value):
    read = eval(repr(value), {name: getattr(hfgen, name) for name in hfgen.__all__})
    for same in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value), read):
        assert (same, hash(same)) == (value, hash(value))
    assert value != type(value)()
    for name in value.__slots__:
        with pytest.raises(AttributeError, match="immutable"):
            setattr(value, name, 1)
