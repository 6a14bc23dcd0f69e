"""A request in TGI's terms as the body of a completion, for each kind of server."""

import json

import pytest

from helpers.sampled_parameters import SAMPLED
from hfgen import InvalidRequestError
from hfgen._core.dialects.completions import Completions
from hfgen._core.dialects.server_kind import Server

KINDS = [None, "tgi", "vllm", "sglang", "llama.cpp", "ollama", "transformers", "provider"]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
JSON_SCHEMA = json.dumps(SCHEMA)


def body(parameters=None, kind=None, *, stream=False, models=(), **request):
    request = {"inputs": "Once", **request}
    if parameters is not None:
        request["parameters"] = parameters
    return json.loads(Completions(request, Server(kind, models)).encode_body(stream=stream))


def added_fields(parameters, kind, **facts):
    """What the parameters add to the body that there is without them."""
    plain = body({}, kind, **facts)
    both = body(parameters, kind, **facts)
    return {key: value for key, value in both.items() if plain.get(key, "none") != value}


def drawn_fields(kind, **values):
    """What makes a server draw tokens: a temperature, and for one kind a generation config."""
    if kind != "transformers":
        return {**values, "temperature": 1.0}
    own = {"top_p": values.pop("top_p")} if "top_p" in values else {}
    config = json.dumps({"do_sample": True, **values}, separators=(",", ":"))
    return {**own, "temperature": 1.0, "generation_config": config}


def refusal(parameters, kind):
    with pytest.raises(InvalidRequestError) as caught:
        body(parameters, kind)
    return str(caught.value)


def test_all_fields_of_a_body():
    assert body() == {"prompt": "Once", "max_tokens": 1024, "temperature": 0.0, "stream": False}
    assert body(stream=True, model="a/b") == {
        "prompt": "Once",
        "model": "a/b",
        "max_tokens": 1024,
        "temperature": 0.0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_options_are_dropped():
    assert body(options={"use_cache": False}) == body()


def test_a_lone_surrogate_is_refused():
    with pytest.raises(InvalidRequestError):
        Completions({"inputs": "\ud83d"}).encode_body(stream=False)


@pytest.mark.parametrize("kind", KINDS)
def test_max_tokens_is_always_there(kind):
    without = {"tgi": None, "llama.cpp": -1}.get(kind, 1024)
    assert body({}, kind)["max_tokens"] == without
    assert body({"max_new_tokens": 5}, kind)["max_tokens"] == 5


def test_max_tokens_of_vllm_is_its_context():
    server = Server("vllm", ("a",), context=512)
    for parameters, limit in (({}, 512), ({"max_new_tokens": 5}, 5)):
        dialect = Completions({"inputs": "Once", "parameters": parameters}, server)
        assert json.loads(dialect.encode_body(stream=False))["max_tokens"] == limit


class TestModel:
    @pytest.mark.parametrize("kind", [k for k in KINDS if k != "tgi"])
    def test_is_the_only_model_if_the_request_names_none(self, kind):
        assert body({}, kind, models=("a",))["model"] == "a"
        assert body({}, kind, models=("a",), model="b")["model"] == "b"
        assert "model" not in body({}, kind, models=("a", "b"))
        assert "model" not in body({}, kind)

    def test_is_not_sent_to_tgi_if_it_is_its_own(self):
        assert "model" not in body({}, "tgi", models=("a",))
        assert "model" not in body({}, "tgi", models=("a",), model="a")
        assert body({}, "tgi", models=("a",), model="b")["model"] == "b"

    @pytest.mark.parametrize(("kind", "model"), [("vllm", "x"), ("tgi", "x"), ("sglang", "base:x")])
    def test_adapter(self, kind, model):
        assert body({"adapter_id": "x"}, kind, models=("base",))["model"] == model

    def test_adapter_of_sglang_without_a_base(self):
        assert body({"adapter_id": "x"}, "sglang")["model"] == "default:x"


class TestTemperature:
    @pytest.mark.parametrize(("parameters", "is_drawn"), SAMPLED)
    def test_is_0_if_no_token_is_drawn(self, parameters, is_drawn):
        kind = "llama.cpp" if "typical_p" in (parameters or {}) else None
        expected = (parameters or {}).get("temperature", 1.0) if is_drawn else 0.0
        assert body(parameters, kind)["temperature"] == expected

    def test_what_draws_tokens_is_left_out_if_none_is_drawn(self):
        drawing = {"top_k": 5, "top_p": 0.5, "typical_p": 0.5}
        for off in ({"do_sample": False}, {"temperature": 0.0}):
            assert body({**drawing, **off}, "ollama") == body({}, "ollama")


KEEPS_STOP = {"vllm": {"include_stop_str_in_output": True}, "sglang": {"no_stop_trim": True}}
GRAMMARS = {
    "vllm": {"structured_outputs": {"json": SCHEMA}},
    "llama.cpp": {"json_schema": SCHEMA},
}
REGEXES = {"vllm": {"structured_outputs": {"regex": "a|b"}}, "sglang": {"regex": "a|b"}}


@pytest.mark.parametrize("kind", KINDS)
class TestFields:
    @pytest.mark.parametrize("name", ["seed", "frequency_penalty", "presence_penalty", "min_p"])
    def test_fields_of_the_same_name_and_unknown_ones(self, kind, name):
        assert added_fields({name: 1}, kind) == {name: 1}

    def test_top_p(self, kind):
        assert added_fields({"top_p": 0.5}, kind) == drawn_fields(kind, top_p=0.5)

    def test_do_sample(self, kind):
        assert added_fields({"do_sample": True}, kind) == drawn_fields(kind)
        assert added_fields({"temperature": 1.0}, kind) == drawn_fields(kind)
        assert added_fields({"do_sample": False}, kind) == {}

    def test_top_k(self, kind):
        if kind in {"tgi", "ollama"}:
            assert "top_k" in refusal({"top_k": 5}, kind)
        else:
            assert added_fields({"top_k": 5}, kind) == drawn_fields(kind, top_k=5)

    def test_typical_p(self, kind):
        if kind in {"llama.cpp", "transformers"}:
            assert added_fields({"typical_p": 0.5}, kind) == drawn_fields(kind, typical_p=0.5)
        else:
            assert "typical_p" in refusal({"typical_p": 0.5}, kind)

    def test_repetition_penalty(self, kind):
        if kind == "ollama":
            assert "repetition_penalty" in refusal({"repetition_penalty": 1.2}, kind)
            return
        if kind == "transformers":
            config = added_fields({"repetition_penalty": 1.2}, kind).pop("generation_config")
            assert json.loads(config) == {"do_sample": False, "repetition_penalty": 1.2}
            return
        name = "repeat_penalty" if kind == "llama.cpp" else "repetition_penalty"
        assert added_fields({"repetition_penalty": 1.2}, kind) == {name: 1.2}

    def test_stop_strings_stay_in_the_text(self, kind):
        assert added_fields({"stop": ["a", "b"]}, kind) == {"stop": ["a", "b"]} | KEEPS_STOP.get(
            kind, {}
        )
        assert added_fields({"stop": []}, kind) == {}

    def test_truncate(self, kind):
        if kind == "vllm":
            fields = {"truncate_prompt_tokens": 5, "truncation_side": "left"}
            assert added_fields({"truncate": 5}, kind) == fields
        else:
            assert "truncate" in refusal({"truncate": 5}, kind)

    def test_num_return_sequences(self, kind):
        assert added_fields({"num_return_sequences": 1}, kind) == {}
        if kind in {"tgi", "ollama", "transformers"}:
            assert "num_return_sequences" in refusal({"num_return_sequences": 2}, kind)
        else:
            assert added_fields({"num_return_sequences": 2}, kind) == {"n": 2}

    def test_best_of(self, kind):
        assert added_fields({"best_of": 1}, kind) == {}
        if kind in {None, "provider"}:
            assert added_fields({"best_of": 2}, kind) == {"best_of": 2}
        else:
            assert "best_of" in refusal({"best_of": 2}, kind)

    def test_max_time(self, kind):
        if kind == "llama.cpp":
            assert added_fields({"max_time": 1.5}, kind) == {"t_max_predict_ms": 1500}
        else:
            assert "max_time" in refusal({"max_time": 1.5}, kind)

    def test_adapter_id(self, kind):
        if kind not in {"vllm", "tgi", "sglang"}:
            assert "adapter_id" in refusal({"adapter_id": "x"}, kind)

    @pytest.mark.parametrize("name", ["decoder_input_details", "watermark"])
    def test_parameters_that_only_tgi_has(self, kind, name):
        assert added_fields({name: False}, kind) == {}
        assert name in refusal({name: True}, kind)

    @pytest.mark.parametrize(
        ("parameters", "count"),
        [
            ({"details": True}, 1),
            ({"top_n_tokens": 3}, 3),
            ({"top_n_tokens": 3, "details": True}, 3),
            ({"top_n_tokens": 0, "details": True}, 1),
        ],
    )
    def test_details(self, kind, parameters, count):
        if kind in {"ollama", "transformers"} and parameters.get("top_n_tokens"):
            assert "top_n_tokens" in refusal(parameters, kind)
            return
        ids = {"return_token_ids": True} if kind in {"vllm", "sglang"} else {}
        assert added_fields(parameters, kind) == {"logprobs": count} | ids

    @pytest.mark.parametrize("parameters", [{"details": False}, {"top_n_tokens": 0}])
    def test_no_details(self, kind, parameters):
        assert added_fields(parameters, kind) == {}

    @pytest.mark.parametrize("value", [True, False])
    def test_return_full_text(self, kind, value):
        # hfgen puts the prompt before the text itself.
        assert added_fields({"return_full_text": value}, kind) == {}

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("json", SCHEMA),
            ("json", JSON_SCHEMA),
            ("json_object", SCHEMA),
            ("json_schema", SCHEMA),
            ("json_schema", {"name": "card", "schema": SCHEMA}),
            ("json_schema", json.dumps({"schema": SCHEMA})),
        ],
    )
    def test_grammar_that_is_a_schema(self, kind, name, value):
        parameters = {"grammar": {"type": name, "value": value}}
        if kind in GRAMMARS:
            assert added_fields(parameters, kind) == GRAMMARS[kind]
        elif kind == "sglang":
            [(field, schema)] = added_fields(parameters, kind).items()
            assert (field, json.loads(schema)) == ("json_schema", SCHEMA)
        else:
            assert "grammar" in refusal(parameters, kind)

    def test_grammar_that_is_a_regular_expression(self, kind):
        parameters = {"grammar": {"type": "regex", "value": "a|b"}}
        if kind in REGEXES:
            assert added_fields(parameters, kind) == REGEXES[kind]
        else:
            assert "grammar" in refusal(parameters, kind)

    @pytest.mark.parametrize(
        "grammar",
        [
            {"type": "gbnf", "value": "root ::= "},
            {"value": SCHEMA},
            {"type": "json", "value": "{"},
            {"type": "json", "value": 5},
            {"type": "json"},
            {"type": "regex", "value": SCHEMA},
        ],
    )
    def test_an_invalid_grammar(self, kind, grammar):
        assert "grammar" in refusal({"grammar": grammar}, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_names_the_field_and_the_server_and_what_to_do(kind):
    message = refusal({"watermark": True}, kind)
    assert message.startswith("request.parameters.watermark: ")
    names = {None: "unknown kind", "provider": "provider", "sglang": "SGLang", "vllm": "vLLM"}
    assert names.get(kind, kind).lower() in message.lower()
    assert "leave it out" in message


@pytest.mark.parametrize("name", ["num_return_sequences", "max_time"])
def test_what_no_route_of_tgi_takes_is_not_sent_to_its_own_routes_either(name):
    message = refusal({name: 2}, "tgi")
    assert "TGI does not take it" in message
    assert "own routes" not in message


def test_unknown_parameters_win_except_prompt_and_stream():
    sent = body({"max_tokens": 7, "stream": True, "prompt": "x", "logit_bias": {"5": 1}})
    assert sent["max_tokens"] == 7
    assert sent["logit_bias"] == {"5": 1}
    assert sent["prompt"] == "Once"
    assert sent["stream"] is False
