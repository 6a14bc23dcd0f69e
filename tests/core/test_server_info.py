"""`info` and `tokenize`, on the routes of each kind of server."""

import pytest

import hfgen
from helpers.scripted_routes import answer_by_route, request_lines
from hfgen.testing import answer, as_json

INFO = {"model_id": "m", "version": "3.3.6", "max_input_tokens": 511, "max_total_tokens": 512}


def models(owner, **more):
    return {"object": "list", "data": [{"id": "m", "owned_by": owner, **more}]}


ROUTES = ["", "/", "/generate", "/generate_stream", "/v1", "/v1/", "/v1/completions"]


@pytest.mark.parametrize("route", [*ROUTES, "/v1/chat/completions"])
def test_tgi(side, serve, route):
    server = serve(answer_by_route(info={**INFO, "max_best_of": 2}), speaks=None)
    info = side.call(side.client().info, api_url=server.url + route)
    assert (info.server, info.model_id, info.version) == ("tgi", "m", "3.3.6")
    assert (info.max_input_tokens, info.max_total_tokens) == (511, 512)
    assert info["max_best_of"] == 2
    assert info.to_dict() == {"server": "tgi", **INFO, "max_best_of": 2}


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (
            {"v1_models": models("vllm", max_model_len=512), "version": {"version": "0.32.0"}},
            ("vllm", "m", "0.32.0", 512),
        ),
        (
            {
                "v1_models": models("llamacpp"),
                "props": {"default_generation_settings": {"n_ctx": 512}, "build_info": "b1-x"},
            },
            ("llama.cpp", "m", "b1-x", 512),
        ),
        (
            {"v1_models": models("sglang", max_model_len=512), "server_info": {"version": "0.5"}},
            ("sglang", "m", "0.5", 512),
        ),
        ({"v1_models": models("sglang")}, ("sglang", "m", None, None)),
        ({"v1_models": models("m")}, ("tgi", "m", None, None)),
        ({"v1_models": models("who")}, (None, "m", None, None)),
        ({"v1_models": {"data": []}}, (None, None, None, None)),
    ],
)
def test_other_servers(side, serve, routes, expected):
    server = serve(answer_by_route(**routes), speaks=None)
    info = side.call(side.client(api_url=f"{server.url}/v1").info)
    assert (info.server, info.model_id, info.version, info.max_total_tokens) == expected
    assert info["models"] == routes["v1_models"]["data"]


@pytest.mark.parametrize(
    ("owner", "route", "more"),
    [
        ("llamacpp", "props", [1]),
        ("llamacpp", "props", {"default_generation_settings": [1]}),
        ("sglang", "server_info", "x"),
        ("vllm", "version", {"models": 3}),
        ("vllm", "version", "x"),
    ],
)
def test_details_of_any_type(side, serve, owner, route, more):
    server = serve(answer_by_route(v1_models=models(owner), **{route: as_json(more)}), speaks=None)
    info = side.call(side.client(api_url=server.url).info)
    assert (info.model_id, info.max_total_tokens) == ("m", None)
    assert info["models"] == models(owner)["data"]


def test_models_of_any_type(side, serve):
    document = {"data": ["x", *models("vllm", max_model_len=512)["data"]]}
    server = serve(answer_by_route(v1_models=document), speaks=None)
    info = side.call(side.client(api_url=server.url).info)
    assert (info.server, info.model_id, info.max_total_tokens) == ("vllm", "m", 512)


def test_a_server_without_both_routes(side, serve):
    server = serve(answer_by_route(), speaks=None)
    with pytest.raises(hfgen.NotFoundError, match="neither"):
        side.call(side.client(api_url=server.url).info)


@pytest.mark.parametrize("options", [{}, {"provider": "together"}])
def test_the_router_is_no_single_server(side, options):
    for verb, *arguments in (["info"], ["tokenize", "x"]):
        with pytest.raises(hfgen.InvalidRequestError, match="api_url"):
            side.call(getattr(side.client(**options), verb), *arguments)


TEXT = "Ein é"
PLACED = [(1, "Ein", 0, 3), (2, " é", 3, 5)]


@pytest.mark.parametrize(
    ("routes", "body", "document", "tokens"),
    [
        (
            {"info": INFO},
            {"inputs": TEXT},
            [{"id": i, "text": t, "start": a, "stop": b} for i, t, a, b in PLACED],
            PLACED,
        ),
        (
            {"v1_models": models("llamacpp")},
            {"content": TEXT, "add_special": True, "with_pieces": True},
            {"tokens": [{"id": 1, "piece": "Ein"}, {"id": 2, "piece": " é"}]},
            PLACED,
        ),
        (
            {"v1_models": models("llamacpp")},
            {"content": TEXT, "add_special": True, "with_pieces": True},
            {"tokens": [{"id": 1, "piece": [195]}]},
            [(1, None, None, None)],
        ),
        (
            {"v1_models": models("llamacpp")},
            {"content": TEXT, "add_special": True, "with_pieces": True},
            {
                "tokens": [
                    {"id": 1, "piece": "Ein "},
                    *({"id": 2, "piece": [b]} for b in (195, 169)),
                ]
            },
            [(1, "Ein ", 0, 4), (2, "é", 4, 5), (2, "é", 4, 5)],
        ),
        (
            {"v1_models": models("vllm")},
            {"prompt": TEXT, "model": "m", "return_token_strs": True},
            {"tokens": [0, 1, 2], "token_strs": ["<s>", "Ein", "ĠÃ©"], "count": 3},
            [(0, "<s>", None, None), *PLACED],
        ),
        (
            {"v1_models": models("sglang")},
            {"prompt": TEXT, "model": "m"},
            {"tokens": [1, 2], "count": 2},
            [(1, None, None, None), (2, None, None, None)],
        ),
    ],
)
def test_tokens(side, serve, routes, body, document, tokens):
    server = serve(answer_by_route(**routes, tokenize=as_json(document)), speaks=None)
    client = side.client(api_url=f"{server.url}/v1")
    for _ in range(2):
        got = side.call(client.tokenize, TEXT)
        assert [(t.id, t.text, t.start, t.stop) for t in got] == tokens
    assert server.requests[-1].json == body
    # The server is asked for its kind only once.
    assert request_lines(server).count("GET /info") == 1


def test_a_server_that_is_not_known_to_tokenize(side, serve):
    server = serve(answer_by_route(v1_models=models("who")), speaks=None)
    with pytest.raises(hfgen.InvalidRequestError, match="tokenizes"):
        side.call(side.client(api_url=server.url).tokenize, "x")


@pytest.mark.parametrize("document", [{}, {"tokens": 5}, [5], [{"id": "x"}], {"tokens": ["a"]}])
def test_an_answer_without_tokens(side, serve, document):
    server = serve(answer_by_route(info=INFO, tokenize=as_json(document)), speaks=None)
    with pytest.raises(hfgen.MalformedAnswerError, match="token"):
        side.call(side.client(api_url=server.url).tokenize, "x")


def test_an_answer_that_is_nested_too_deeply(side, serve):
    page = answer(b"[" * 100_000, headers={"content-type": "application/json"})
    server = serve(answer_by_route(info=INFO, tokenize=page), speaks=None)
    with pytest.raises(hfgen.MalformedAnswerError, match="token"):
        side.call(side.client(api_url=server.url).tokenize, "x")


@pytest.mark.parametrize(("text", "problem"), [(5, "string"), ("\ud800", "Unicode")])
def test_an_invalid_text(side, serve, text, problem):
    server = serve(answer_by_route(info=INFO), speaks=None)
    with pytest.raises(hfgen.InvalidRequestError, match=problem):
        side.call(side.client(api_url=server.url).tokenize, text)


@pytest.mark.parametrize("piece", [5, [256], ["a"], None])
def test_an_invalid_piece_of_llama_cpp(side, serve, piece):
    document = {"tokens": [{"id": 1, "piece": piece}]}
    server = serve(
        answer_by_route(v1_models=models("llamacpp"), tokenize=as_json(document)), speaks=None
    )
    with pytest.raises(hfgen.MalformedAnswerError, match="token"):
        side.call(side.client(api_url=server.url).tokenize, "x")
