import dataclasses

import pytest

from hfgen.server import LocalServerError, ServerOptions
from hfgen.server._options import Limits, OptionsDict


def test_the_keyword_arguments_are_the_options():
    fields = {field.name: field.type for field in dataclasses.fields(ServerOptions)}
    assert fields == {
        name: getattr(annotation, "__forward_arg__", annotation)
        for name, annotation in OptionsDict.__annotations__.items()
    }


def test_the_key_does_not_show():
    assert "secret" not in repr(ServerOptions(api_key="secret"))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("port", -1),
        ("port", 65_536),
        ("max_concurrent_requests", 0),
        ("max_batch", 0),
        ("max_best_of", 0),
        ("max_stop_sequences", -1),
        ("max_top_n_tokens", -1),
        ("max_input_tokens", 0),
        ("max_total_tokens", 1),
        ("grace", -1),
        ("keep_alive", 0),
        ("idle_timeout", 0),
        ("client_timeout", 0),
        ("max_connections", 0),
        ("api_key", ""),
        ("cors_allow_origin", "https://page.example"),
        ("cors_allow_origin", ["*"]),
        ("cors_allow_origin", ["https://page.example\r\nx: y"]),
        ("cors_allow_origin", [b"https://page.example"]),
    ],
)
def test_values_out_of_range(option, value):
    with pytest.raises(LocalServerError, match=option):
        ServerOptions(**{option: value})


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        ({}, (511, 512)),
        ({"max_total_tokens": 100}, (99, 100)),
        ({"max_input_tokens": 100}, (100, 512)),
        ({"max_input_tokens": 10, "max_total_tokens": 100}, (10, 100)),
    ],
)
def test_limits_default_to_the_context(options, limits):
    limits_found = Limits.from_options(ServerOptions(**options), max_positions=512)
    assert (limits_found.max_input_tokens, limits_found.max_total_tokens) == limits


@pytest.mark.parametrize(
    "options",
    [
        {"max_total_tokens": 513},
        {"max_input_tokens": 512},
        {"max_input_tokens": 9, "max_total_tokens": 9},
    ],
)
def test_limits_that_contradict(options):
    with pytest.raises(LocalServerError):
        Limits.from_options(ServerOptions(**options), max_positions=512)


@pytest.mark.parametrize("context", [0, 1])
def test_a_context_without_room(context):
    with pytest.raises(LocalServerError, match=f"context is {context} tokens: no room"):
        Limits.from_options(ServerOptions(), max_positions=context)
