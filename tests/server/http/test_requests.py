import msgspec
import pytest

from hfgen.server.http.requests import (
    CompletionRequest,
    GenerateRequest,
    UnreadableBodyError,
    decode_request,
)

GENERATE = msgspec.json.Decoder(GenerateRequest)
COMPLETION = msgspec.json.Decoder(CompletionRequest)
DATA = "Failed to deserialize the JSON body into the target type: "
SYNTAX = "Failed to parse the request body as JSON: "

NULLABLE = (
    "adapter_id",
    "best_of",
    "frequency_penalty",
    "grammar",
    "ignore_eos_token",
    "max_new_tokens",
    "num_return_sequences",
    "repetition_penalty",
    "return_full_text",
    "seed",
    "temperature",
    "top_k",
    "top_n_tokens",
    "top_p",
    "truncate",
    "typical_p",
)
NOT_NULLABLE = ("decoder_input_details", "details", "do_sample", "stop", "watermark")


def generate(**parameters):
    body = msgspec.json.encode({"inputs": "hi", "parameters": parameters})
    return decode_request(GENERATE, body).parameters


def test_absent_parameters_sample_and_empty_ones_do_not():
    assert decode_request(GENERATE, b'{"inputs": "hi"}').parameters.do_sample
    assert not generate().do_sample


@pytest.mark.parametrize(
    ("decoder", "body", "words"),
    [
        (GENERATE, b'{"inputs": "a", "max_new_tokens": 3}', "unknown field `max_new_tokens`"),
        (GENERATE, b'{"inputs": "a", "best_of": null}', "unknown field `best_of`"),
        (
            GENERATE,
            b'{"inputs": "a", "parameters": {"num_beams": 3}}',
            "parameters: unknown field `num_beams`",
        ),
        (COMPLETION, b'{"prompt": "a", "top_k": 3}', "unknown field `top_k`"),
        (COMPLETION, b'{"prompt": "a", "max_new_tokens": 3}', "unknown field `max_new_tokens`"),
    ],
)
def test_unknown_fields_are_refused_by_name(decoder, body, words):
    with pytest.raises(UnreadableBodyError) as caught:
        decode_request(decoder, body)
    assert (caught.value.status, caught.value.text) == (422, DATA + words)


def test_fields_that_change_nothing_are_taken():
    body = b'{"inputs": "hi", "model": "m", "options": {"use_cache": false}, "parameters": {}}'
    assert decode_request(GENERATE, body).parameters == generate()
    body = b'{"prompt": "hi", "user": "me", "stream_options": {"include_usage": true}}'
    assert not decode_request(COMPLETION, body).unsupported_fields


@pytest.mark.parametrize("name", NULLABLE)
def test_nullable_parameters(name):
    assert generate(**{name: None}) == generate()


@pytest.mark.parametrize("name", NOT_NULLABLE)
def test_parameters_that_may_not_be_null(name):
    with pytest.raises(UnreadableBodyError) as caught:
        generate(**{name: None})
    assert caught.value.status == 422
    assert caught.value.text.startswith(f"{DATA}parameters.{name}: ")


def test_the_two_tables_have_all_parameters():
    fields = msgspec.structs.fields(type(generate()))
    assert {field.name for field in fields} == {*NULLABLE, *NOT_NULLABLE}


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("seed", 2**64 - 1, True),
        ("seed", 2**64, False),
        ("seed", -1, False),
        ("seed", 1.0, False),
        ("max_new_tokens", 2**32 - 1, True),
        ("max_new_tokens", 2**32, False),
        ("max_new_tokens", -1, False),
        ("top_k", -(2**31), True),
        ("top_k", 2**31, False),
        ("best_of", 0, True),
        ("best_of", 2**64, False),
        ("truncate", 2**64, False),
        ("top_n_tokens", "5", False),
        ("temperature", 1, True),
        ("temperature", "1", False),
        ("temperature", 3.4e38, True),
        ("temperature", 1e308, False),
        ("repetition_penalty", 3.5e38, False),
        ("frequency_penalty", -1e308, False),
        ("top_p", 1e40, False),
        ("typical_p", 1e40, False),
        ("do_sample", 1, False),
        ("stop", "end", False),
        ("stop", ["end"], True),
        ("grammar", {"type": "regex", "value": "a+"}, True),
        ("grammar", {"type": "json", "value": {}}, True),
        ("grammar", {"type": "json_object", "value": {}}, True),
        ("grammar", {"type": "json_schema", "value": {"schema": {}, "strict": True}}, True),
        ("grammar", {"type": "json_schema", "value": {}}, False),
        ("grammar", {"type": "regex", "value": 1}, False),
        ("grammar", {"type": "ebnf", "value": ""}, False),
        ("grammar", {"value": ""}, False),
    ],
)
def test_types_and_ranges_are_those_of_tgi(name, value, accepted):
    if accepted:
        assert getattr(generate(**{name: value}), name) is not None
        return
    with pytest.raises(UnreadableBodyError) as caught:
        generate(**{name: value})
    assert caught.value.status == 422


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"{}", 422, DATA + "missing field `inputs`"),
        (b"[]", 422, DATA + "Expected `object`, got `array`"),
        (b"null", 422, DATA),
        (b'{"inputs": 1}', 422, DATA + "inputs: Expected `str`, got `int`"),
        (b'{"inputs": "a", "parameters": null}', 422, DATA + "parameters: "),
        (b'{"inputs": "a", "parameters": {"stop": [1]}}', 422, DATA + "parameters.stop[0]: "),
        (b"", 400, SYNTAX),
        (b'{"inputs": "a"', 400, SYNTAX),
        (b'{"inputs": "a"}}', 400, SYNTAX),
        (b'{"inputs": "\xff"}', 400, SYNTAX),
        (b'{"inputs": "\\ud800"}', 400, SYNTAX),
        (b"inputs=a", 400, SYNTAX),
        (b'{"options": {"x": ' + b"[" * 100_000, 400, SYNTAX),
    ],
)
def test_a_body_that_cannot_be_read(body, status, text):
    with pytest.raises(UnreadableBodyError) as caught:
        decode_request(GENERATE, body)
    assert caught.value.status == status
    assert caught.value.text.startswith(text)


def test_stream_is_true_or_false():
    assert not decode_request(GENERATE, b'{"inputs": "a"}').stream
    assert decode_request(GENERATE, b'{"inputs": "a", "stream": true}').stream
    with pytest.raises(UnreadableBodyError):
        decode_request(GENERATE, b'{"inputs": "a", "stream": null}')


# What clients send when their user asks for nothing: LangChain 1.x (`BaseOpenAI`), and null for
# each field.
@pytest.mark.parametrize(
    "payload",
    [
        {
            "temperature": 0.7,
            "top_p": 1,
            "frequency_penalty": 0,
            "presence_penalty": 0,
            "n": 1,
            "logit_bias": {},
            "seed": None,
            "logprobs": None,
            "best_of": 1,
            "max_tokens": 256,
        },
        {"best_of": None, "echo": None, "logit_bias": None, "presence_penalty": None},
        {"best_of": 2, "n": 2, "echo": False},
    ],
)
def test_a_completion_takes_values_that_change_nothing(payload):
    decoded = decode_request(COMPLETION, msgspec.json.encode({"prompt": "a", **payload}))
    assert decoded.unsupported_fields == ()
    assert decoded.to_generate_requests()[0].parameters.top_p is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("best_of", 0),
        ("best_of", 3),
        ("echo", True),
        ("logit_bias", {"50256": -100}),
        ("presence_penalty", 0.5),
    ],
)
def test_a_completion_names_what_it_does_not_do(name, value):
    body = msgspec.json.encode({"prompt": "a", name: value})
    assert decode_request(COMPLETION, body).unsupported_fields == (name,)


@pytest.mark.parametrize(
    ("prompt", "prompts"), [('"a"', ("a",)), ('""', ("",)), ('["a", "b"]', ("a", "b"))]
)
def test_a_completion_takes_a_prompt_or_a_list(prompt, prompts):
    payload = decode_request(COMPLETION, b'{"prompt": %b}' % prompt.encode())
    assert payload.prompts == prompts
    assert [generation.inputs for generation in payload.to_generate_requests()] == list(prompts)


@pytest.mark.parametrize("prompt", ["[]", "null", "[1]", "1"])
def test_a_completion_refuses_any_other_prompt(prompt):
    with pytest.raises(UnreadableBodyError) as caught:
        decode_request(COMPLETION, b'{"prompt": %b}' % prompt.encode())
    assert caught.value.status == 422


@pytest.mark.parametrize(
    ("payload", "sample", "temperature"),
    [
        ({}, True, None),
        ({"temperature": 0}, False, None),
        ({"temperature": 1e-50}, False, None),
        ({"temperature": 0.7}, True, 0.7),
    ],
)
def test_a_completion_samples_unless_its_temperature_is_zero(payload, sample, temperature):
    body = msgspec.json.encode({"prompt": "a", "model": "any/name", **payload})
    (generation,) = decode_request(COMPLETION, body).to_generate_requests()
    assert generation.parameters.do_sample is sample
    assert generation.parameters.temperature == pytest.approx(temperature)
    assert generation.parameters.adapter_id is None


def test_a_completion_passes_its_parameters_on():
    body = b"""{"prompt": "a", "max_tokens": 3, "top_p": 0.5, "seed": 4, "stop": ["x"],
               "repetition_penalty": 1.5, "frequency_penalty": 0.5, "stream": true,
               "logprobs": 2}"""
    (generation,) = decode_request(COMPLETION, body).to_generate_requests()
    p = generation.parameters
    assert (p.max_new_tokens, p.top_p, p.seed, p.stop) == (3, 0.5, 4, ("x",))
    assert (p.repetition_penalty, p.frequency_penalty, p.top_n_tokens) == (1.5, 0.5, 2)


@pytest.mark.parametrize(
    "name", ["temperature", "repetition_penalty", "frequency_penalty", "top_p", "typical_p"]
)
@pytest.mark.parametrize(
    ("value", "rounded"),
    [(0.1, 0.10000000149011612), (0.99999999, 1.0), (1e-308, 0.0), (-1e-50, 0.0), (2, 2.0)],
)
def test_floats_have_32_bits(name, value, rounded):
    assert getattr(generate(**{name: value}), name) == rounded


@pytest.mark.parametrize(
    "name", ["temperature", "repetition_penalty", "frequency_penalty", "top_p"]
)
def test_floats_of_a_completion_have_32_bits(name):
    with pytest.raises(UnreadableBodyError) as caught:
        decode_request(COMPLETION, msgspec.json.encode({"prompt": "a", name: 1e308}))
    assert caught.value.status == 422
    assert caught.value.text == f"{DATA}{name}: Expected `float` of 32 bits, got 1e+308"
