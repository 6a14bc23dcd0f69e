"""The model and the parameters as keyword arguments: of a client, of a call, of `generate_many`."""

import pytest

import hfgen
from helpers.scripted_answers import as_json, events, token
from hfgen import AbortController
from hfgen._core.request import GenerateParameters
from hfgen.types import Options

ANSWER = as_json({"generated_text": "a"})
STREAM = events(token("a", last="a"))
REQUEST = {"inputs": "x", "model": "own", "parameters": {"seed": 1, "top_k": 2}}


@pytest.mark.parametrize("verb", ["run", "stream", "stream_tokens", "stream_bytes"])
def test_keywords_of_a_call_are_parameters_of_its_request(side, serve, verb):
    server = serve(ANSWER if verb == "run" else STREAM)
    side.outcome(verb, server, model="owner/name", max_new_tokens=3, stop=["."], seed=None)
    body = server.request().json
    assert body["model"] == "owner/name"
    assert body["parameters"] == {"max_new_tokens": 3, "stop": ["."], "do_sample": False}


@pytest.mark.parametrize("verb", ["run", "stream", "stream_tokens", "stream_bytes"])
def test_static_verbs_take_them_too(side, serve, verb):
    server = serve(ANSWER if verb == "run" else STREAM)
    call = getattr(side.namespace, verb)
    result = side.call(call, "x", api_url=f"{server.url}/generate", max_new_tokens=3)
    if verb != "run":
        side.collect(result)
    assert server.request().json["parameters"] == {"max_new_tokens": 3, "do_sample": False}


def test_the_call_comes_before_the_request_and_the_request_before_the_client(side, serve):
    server = serve(ANSWER)
    client = side.client(api_url=server.url, model="all", seed=5, top_k=5, top_p=0.5)
    side.call(client.run, REQUEST, seed=7)
    side.call(client.with_options(top_p=0.6, model="copy").run, "x")
    side.call(client.run, REQUEST, model="call")
    bodies = [request.json for request in server.requests]
    assert [body["model"] for body in bodies] == ["own", "copy", "call"]
    assert [body["parameters"] for body in bodies] == [
        {"seed": 7, "top_k": 2, "top_p": 0.5, "do_sample": True},
        {"seed": 5, "top_k": 5, "top_p": 0.6, "do_sample": True},
        {"seed": 1, "top_k": 2, "top_p": 0.5, "do_sample": True},
    ]


def test_in_generate_many_they_are_for_rows_that_leave_them_out(side, serve):
    server = serve(ANSWER)
    client = side.client(api_url=server.url, model="client", temperature=0.5)
    rows = ["x", REQUEST]
    results = client.generate_many(rows, concurrency=1, stream=False, seed=7, model="run")
    assert all(result.ok for result in side.collect(results))
    bodies = {request.json["model"]: request.json["parameters"] for request in server.requests}
    assert bodies == {
        "run": {"temperature": 0.5, "seed": 7, "details": True, "do_sample": True},
        "own": {"temperature": 0.5, "seed": 1, "top_k": 2, "details": True, "do_sample": True},
    }


def test_a_request_without_them_is_greedy(side, serve):
    server = serve(ANSWER)
    side.run(server, "x")
    assert server.request().json["parameters"] == {"do_sample": False}
    assert "model" not in server.request().json


@pytest.mark.parametrize("options", [{"seed": "1"}, {"model": 7}, {"stop": "."}])
def test_a_wrong_value_is_refused_by_name(side, options):
    [name] = options
    for call in (
        lambda: side.client(**options),
        lambda: side.client().with_options(**options),
        lambda: side.call(side.client().run, "x", **options),
    ):
        with pytest.raises(hfgen.InvalidRequestError, match=name):
            call()


@pytest.mark.parametrize("parameters", [7, [1], "x"])
def test_parameters_that_are_no_mapping_are_refused_beside_keywords(side, parameters):
    with pytest.raises(hfgen.InvalidRequestError, match="parameters"):
        side.call(side.client(top_k=1).run, {"inputs": "x", "parameters": parameters}, seed=1)


@pytest.mark.parametrize("name", ["max_tokens", "max_newtokens", "maxNewTokens", "max_length"])
def test_a_near_miss_as_keyword_is_an_error_that_names_the_right_one(side, name):
    with pytest.raises(TypeError, match="did you mean 'max_new_tokens'"):
        side.call(side.client().run, "x", **{name: 3})


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("max_tokens", "max_new_tokens"),
        ("max_newtokens", "max_new_tokens"),
        ("temprature", "temperature"),
        ("stop_sequences", "stop"),
    ],
)
def test_a_near_miss_in_parameters_is_a_warning_and_is_sent(side, serve, name, right):
    server = serve(ANSWER)
    with pytest.warns(UserWarning, match=f"'{name}'.*'{right}'") as caught:
        side.run(server, {"inputs": "x", "parameters": {name: 3}})
    assert len(caught) == 1
    assert server.request().json["parameters"] == {name: 3, "do_sample": False}


@pytest.mark.parametrize(
    "name",
    ["presence_penalty", "min_p", "min_new_tokens", "stop_token_ids", "logprobs", "length_penalty",
     "top_a", "ignore_eos", "logit_bias", "encoder_repetition_penalty", "generation_config"],
)  # fmt: skip
def test_parameters_that_some_servers_have_are_no_near_miss(side, serve, name):
    side.run(serve(ANSWER), {"inputs": "x", "parameters": {name: 3}})


@pytest.mark.filterwarnings("default")
def test_the_warning_comes_once_and_names_the_line_of_the_caller(side, serve, recwarn):
    server = serve(ANSWER)
    client = side.client(api_url=server.url)
    for _ in range(3):
        side.call(client.run, {"inputs": "x", "parameters": {"max_tokens": 3}})
    assert len(recwarn) == 1
    assert "src/hfgen" not in recwarn[0].filename
    rows = [{"inputs": "x", "parameters": {"max_tokens": 3}}] * 30
    assert all(result.ok for result in side.collect(client.generate_many(rows, stream=False)))
    # Rows are taken in a few places of the event loop.
    assert len(recwarn) <= 4


def test_calls_that_send_no_request_refuse_them(side):
    client = side.client(model="all", seed=1)
    with pytest.raises(TypeError, match="seed is part of a request"):
        side.call(client.info, seed=1)
    with pytest.raises(TypeError, match="truncate is part of a request"):
        side.call(client.tokenize, "x", truncate=1)


def test_every_parameter_is_a_keyword_and_none_has_the_name_of_an_option():
    names = set(GenerateParameters.__annotations__)
    assert names < set(Options.__annotations__)
    client = hfgen.Client(signal=AbortController().signal, max_new_tokens=2)
    assert "parameters={'max_new_tokens': 2}" in repr(client)
