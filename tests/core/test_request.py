"""The checks of requests before they are sent."""

import collections
import enum
import json
import types
from decimal import Decimal
from typing import get_type_hints

import pytest

import hfgen
import hfgen.types
from hfgen import InvalidRequestError
from hfgen._core.request import encode_json, normalize_request

PARAMETERS = {
    "adapter_id": "a",
    "best_of": 2,
    "decoder_input_details": True,
    "details": True,
    "do_sample": True,
    "frequency_penalty": 0.1,
    "grammar": {"type": "json", "value": {"properties": {"a": {"type": "string"}}}},
    "max_new_tokens": 20,
    "repetition_penalty": 1.03,
    "return_full_text": False,
    "seed": 2**64 - 1,
    "stop": ["a", "b"],
    "temperature": 0.5,
    "top_k": 10,
    "top_n_tokens": 5,
    "top_p": 0.95,
    "truncate": 100,
    "typical_p": 0.95,
    "watermark": True,
    "max_time": 1.5,
    "num_return_sequences": 2,
}


class Text(str):
    __slots__ = ()


class Colour(enum.StrEnum):
    RED = "red"


class Size(enum.IntEnum):
    SMALL = 3


class TestAccepted:
    def test_a_string(self):
        assert normalize_request("Once") == {"inputs": "Once"}

    def test_an_empty_prompt_is_sent(self):
        assert normalize_request("") == {"inputs": ""}
        assert normalize_request({"inputs": ""}) == {"inputs": ""}

    def test_every_parameter(self):
        request = {"model": "m", "inputs": "x", "parameters": PARAMETERS,
                   "options": {"use_cache": False, "wait_for_model": True}}  # fmt: skip
        assert normalize_request(request) == request
        assert json.loads(encode_json(normalize_request(request))) == request
        assert set(PARAMETERS) == set(get_type_hints(hfgen.types.GenerateParameters))

    def test_values_that_are_none_are_left_out(self):
        request = {
            "model": None,
            "inputs": "x",
            "parameters": dict.fromkeys(PARAMETERS),
            "options": {"use_cache": None},
        }
        assert normalize_request(request) == {"inputs": "x", "parameters": {}, "options": {}}
        assert normalize_request({"inputs": "x", "parameters": None}) == {"inputs": "x"}

    def test_no_parameters_and_empty_ones_differ(self):
        # TGI samples if parameters are absent, and does not if they are empty.
        assert "parameters" not in normalize_request({"inputs": "x"})
        assert normalize_request({"inputs": "x", "parameters": {}})["parameters"] == {}

    def test_unknown_parameters_are_passed_on(self):
        request = {"inputs": "x", "parameters": {"new": {"a": [1, None]}, "other": None}}
        assert normalize_request(request)["parameters"] == {"new": {"a": [1, None]}}

    @pytest.mark.parametrize(
        "make", [dict, collections.OrderedDict, types.MappingProxyType, collections.UserDict,
                 lambda mapping: collections.ChainMap({}, mapping)]
    )  # fmt: skip
    def test_any_mapping(self, make):
        grammar = make({"type": "regex", "value": "a+"})
        parameters = make({"top_k": 5, "grammar": grammar})
        request = make({"inputs": "x", "parameters": parameters, "options": make({})})
        assert json.loads(encode_json(normalize_request(request))) == {
            "inputs": "x",
            "parameters": {"top_k": 5, "grammar": {"type": "regex", "value": "a+"}},
            "options": {},
        }

    @pytest.mark.parametrize("prompt", [Text("red"), Colour.RED], ids=["str", "enum"])
    def test_subclasses_of_str(self, prompt):
        assert json.loads(encode_json(normalize_request(prompt))) == {"inputs": "red"}
        assert json.loads(encode_json(normalize_request({"inputs": prompt, "model": prompt}))) == {
            "inputs": "red",
            "model": "red",
        }

    def test_numbers_of_other_kinds(self):
        parameters = {"max_new_tokens": Size.SMALL, "temperature": 1, "stop": ("a",)}
        assert json.loads(
            encode_json(normalize_request({"inputs": "x", "parameters": parameters}))
        ) == {
            "inputs": "x",
            "parameters": {"max_new_tokens": 3, "temperature": 1, "stop": ["a"]},
        }

    @pytest.mark.parametrize(
        ("value", "written"),
        [
            (Decimal("0.70"), b"0.7"),
            (Decimal("7.00"), b"7"),
            (Decimal(2**64 - 1), b"18446744073709551615"),
            (Decimal("1e300"), b"%d" % 10**300),
        ],
    )
    def test_decimals_are_numbers(self, value, written):
        request = {"inputs": "x", "parameters": {"new": {"values": [value]}}}
        body = encode_json(normalize_request(request))
        assert body == b'{"inputs":"x","parameters":{"new":{"values":[%b]}}}' % written
        whole = normalize_request({"inputs": "x", "parameters": {"max_new_tokens": Decimal(5)}})
        assert whole["parameters"] == {"max_new_tokens": 5}

    @pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("-Infinity"), Decimal("1e400")])
    def test_decimals_that_are_no_finite_number(self, value):
        with pytest.raises(InvalidRequestError, match="temperature must be a finite number"):
            normalize_request({"inputs": "x", "parameters": {"temperature": value}})

    def test_the_callers_request_is_left_alone(self):
        request = {"inputs": "x", "model": None, "parameters": {"top_k": None, "top_p": 0.5}}
        before = json.dumps(request)
        normalize_request(request)["parameters"]["more"] = 1
        assert json.dumps(request) == before


class TestRefused:
    @pytest.mark.parametrize("request_", [None, 5, b"bytes", ["x"], ("inputs", "x"), object(), str])
    def test_a_request_of_another_type(self, side, request_):
        with pytest.raises(InvalidRequestError, match="mapping"):
            side.run(None, request_, api_url="http://127.0.0.1:9/")

    @pytest.mark.parametrize(
        ("request_", "words"),
        [
            ({}, "inputs"),
            ({"inputs": None}, "inputs"),
            ({"model": "m"}, "inputs"),
            ({"input": "x"}, "inputs"),
            ({"inputs": "x", "Parameters": {}}, "parameters"),
            ({"inputs": "x", "paramters": {}}, "parameters"),
            ({"inputs": "x", "modle": "m"}, "model"),
            ({"inputs": "x", "temperature": 1}, "parameters"),
            ({"inputs": "x", "max_new_token": 1}, "max_new_tokens"),
            ({"inputs": "x", "stream": True}, "stream_tokens"),
            ({"inputs": "x", "nonsense": 1}, "nonsense"),
            ({"inputs": "x", 5: 1}, "5"),
            ({"inputs": "x", None: 1}, "None"),
        ],
    )
    def test_a_wrong_key_is_named_with_the_right_one(self, request_, words):
        with pytest.raises(InvalidRequestError, match=words):
            normalize_request(request_)

    @pytest.mark.parametrize(
        ("place", "value"),
        [
            ("inputs", 5),
            ("inputs", ["x"]),
            ("inputs", b"x"),
            ("model", 5),
            ("parameters", "x"),
            ("parameters", [1]),
            ("options", 5),
            ("options", "yes"),
            ("parameters.max_new_tokens", "5"),
            ("parameters.max_new_tokens", 5.5),
            ("parameters.max_new_tokens", True),
            ("parameters.temperature", "hot"),
            ("parameters.temperature", float("nan")),
            ("parameters.temperature", float("inf")),
            ("parameters.do_sample", 1),
            ("parameters.stop", "text"),
            ("parameters.stop", [5]),
            ("parameters.grammar", "json"),
            ("parameters.grammar", {"type": "yaml", "value": ""}),
            ("parameters.grammar", {"type": "json"}),
            ("parameters.seed", "x"),
        ],
    )
    def test_a_wrong_type_is_named(self, place, value):
        request = {"inputs": "x"}
        *outer, name = place.split(".")
        (request.setdefault(outer[0], {}) if outer else request)[name] = value
        with pytest.raises(InvalidRequestError) as caught:
            normalize_request(request)
        assert place in str(caught.value)
        assert "msgspec" not in str(caught.value)

    @pytest.mark.parametrize(
        "value",
        [object(), {1, object()}, "\ud800", float("nan"), [float("inf")],
         {"a": {"b": float("nan")}}, lambda: None],
        ids=["object", "set", "surrogate", "nan", "inf", "nested", "function"],
    )  # fmt: skip
    def test_what_json_cannot_express(self, value):
        with pytest.raises(InvalidRequestError):
            encode_json(normalize_request({"inputs": "x", "parameters": {"new": value}}))

    def test_a_request_that_contains_itself(self):
        loop = {}
        loop["loop"] = loop
        with pytest.raises(InvalidRequestError):
            encode_json(normalize_request({"inputs": "x", "parameters": {"new": loop}}))

    def test_a_lone_surrogate(self, side):
        with pytest.raises(InvalidRequestError, match="Unicode"):
            side.run(None, "\ud83d", api_url="http://127.0.0.1:9/")

    def test_the_default_url_without_a_model(self, side):
        with pytest.raises(InvalidRequestError, match="model"):
            side.run(None, "x")


def test_every_field_is_documented():
    from hfgen import _options  # noqa: PLC0415
    from hfgen._core import answers as _answers  # noqa: PLC0415
    from hfgen._core import request as _request  # noqa: PLC0415

    requests = [_request.Grammar, _request.GenerateParameters, _request.GenerationRequest]
    documented = "".join(kind.__doc__ for kind in (*_options._DESCRIBED, *requests))
    for kind in (*requests, _options.ClientOptions):
        for field in kind.__annotations__:
            assert f"    {field}: " in documented, f"{kind.__name__}.{field}"
    for name in ("Chunk", "Token", "Details", "GeneratedText", "StreamDetails", "PrefillToken"):
        kind = getattr(_answers, name)
        for field in kind.__struct_fields__[1:]:
            assert f"{field}: " in kind.__doc__, f"{name}.{field}"
