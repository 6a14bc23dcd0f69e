"""Where a call goes, and in which dialect: by its URL, by its options, by asking the server."""

import json
import re
import threading

import pytest

import hfgen
from helpers.scripted_answers import answer
from helpers.scripted_routes import answer_by_route, request_lines
from helpers.sync_and_async import reply
from hfgen.testing import Cut, as_json, done, events, status, tokens

MODELS = {
    "object": "list",
    "data": [{"id": "owner/name", "owned_by": "vllm", "parent": None, "max_model_len": 512}],
}
INFO = {"model_id": "owner/name", "version": "3.3.6"}
GENERATED = {"generated_text": "a"}
COMPLETED = {"choices": [{"index": 0, "text": "a", "finish_reason": "length"}]}
REQUEST = {"inputs": "x", "model": "m", "parameters": {"max_new_tokens": 5}}


class TestByTheUrl:
    @pytest.mark.parametrize(
        ("path", "posted"),
        [
            ("/v1", "/v1/completions"),
            ("/v1/", "/v1/completions"),
            ("/v1/completions", "/v1/completions"),
            ("/prefix/v1", "/prefix/v1/completions"),
            ("/v1?x=1", "/v1/completions?x=1"),
            ("/v3/openai/completions", "/v3/openai/completions"),
        ],
    )
    def test_completions(self, side, serve, path, posted):
        server = serve(as_json(COMPLETED), speaks=None)
        [text] = side.run(None, REQUEST, api_url=server.url + path)
        assert text.generated_text == "a"
        assert request_lines(server) == [f"POST {posted}"]
        assert server.request().json["max_tokens"] == 5

    @pytest.mark.parametrize("path", ["/generate", "/generate_stream", "/generate/", "/p/generate"])
    def test_run_and_stream_each_go_to_their_own_route_of_tgi(self, side, serve, path):
        server = serve(as_json(GENERATED), tokens("a"), speaks=None)
        side.run(None, REQUEST, api_url=server.url + path)
        side.collect(side.stream(None, REQUEST, api_url=server.url + path))
        prefix = "/p" if path.startswith("/p") else ""
        assert request_lines(server) == [
            f"POST {prefix}/generate",
            f"POST {prefix}/generate_stream",
        ]

    def test_a_chat_is_refused(self, side):
        with pytest.raises(hfgen.InvalidRequestError, match="without the chat"):
            side.run(None, REQUEST, api_url="http://127.0.0.1:9/v1/chat/completions")


class TestByTheOption:
    def test_tgi_posts_to_the_url_itself(self, side, serve):
        server = serve(as_json(GENERATED), speaks=None)
        side.run(None, REQUEST, api_url=f"{server.url}/any", dialect="tgi")
        assert request_lines(server) == ["POST /any"]

    @pytest.mark.parametrize(
        ("path", "posted"),
        [
            ("", "/v1/completions"),
            ("/", "/v1/completions"),
            ("/any", "/any/v1/completions"),
            ("/v1/openai", "/v1/openai/completions"),
            ("/v2", "/v2/completions"),
        ],
    )
    def test_completions(self, side, serve, path, posted):
        server = serve(as_json(COMPLETED), speaks=None)
        side.run(None, REQUEST, api_url=server.url + path, dialect="completions")
        assert request_lines(server) == [f"POST {posted}"]

    def test_a_route_of_the_other_dialect_is_refused(self, side):
        url = "http://127.0.0.1:9/generate"
        with pytest.raises(hfgen.InvalidRequestError, match="without it"):
            side.run(None, REQUEST, api_url=url, dialect="completions")

    @pytest.mark.parametrize("value", ["openai", 5, ""])
    def test_an_unknown_dialect_is_refused(self, side, value):
        with pytest.raises(hfgen.InvalidRequestError, match="auto, tgi, completions"):
            side.client(dialect=value)


class TestByAsking:
    def test_tgi_is_asked_once(self, side, serve):
        server = serve(answer_by_route(info=INFO, root=GENERATED), speaks=None)
        for _ in range(3):
            side.run(None, REQUEST, api_url=server.url)
        assert request_lines(server) == ["GET /info", *["POST /"] * 3]

    def test_others_are_asked_once(self, side, serve):
        server = serve(answer_by_route(v1_models=MODELS, v1_completions=COMPLETED), speaks=None)
        for _ in range(3):
            assert side.run(None, "x", api_url=server.url)[0].generated_text == "a"
        assert request_lines(server) == [
            "GET /info",
            "GET /v1/models",
            *["POST /v1/completions"] * 3,
        ]
        assert server.requests[-1].json["model"] == "owner/name"
        # vLLM reduces this to the rest of the context.
        assert server.requests[-1].json["max_tokens"] == 512

    def test_a_copy_of_a_client_shares_the_targets(self, side, serve):
        server = serve(answer_by_route(info=INFO, root=GENERATED), speaks=None)
        client = side.client(api_url=server.url)
        side.call(client.run, "x")
        side.call(client.with_options(timeout=5).run, "x")
        assert request_lines(server) == ["GET /info", "POST /", "POST /"]

    def test_a_server_that_was_replaced_is_asked_again(self, side, serve):
        routes = {"info": INFO, "root": GENERATED}

        def respond(request):
            return answer_by_route(**routes)(request)

        server = serve(respond, speaks=None)
        side.run(None, REQUEST, api_url=server.url)
        routes.clear()
        routes.update(v1_models=MODELS, v1_completions=COMPLETED)
        with pytest.raises(hfgen.NotFoundError):
            side.run(None, REQUEST, api_url=server.url)
        assert side.run(None, REQUEST, api_url=server.url)[0].generated_text == "a"

    def test_a_server_without_both_routes_is_taken_for_tgi(self, side, serve):
        server = serve(answer_by_route(root=GENERATED), speaks=None)
        for _ in range(2):
            side.run(None, REQUEST, api_url=server.url)
        assert request_lines(server) == ["GET /info", "GET /v1/models", "POST /", "POST /"]

    @pytest.mark.parametrize("refusal", [404, 405, 422])
    def test_or_for_completions_if_it_refuses_tgis_dialect(self, side, serve, refusal):
        refused = as_json({"detail": "no"}, status=refusal)
        server = serve(answer_by_route(root=refused, v1_completions=COMPLETED), speaks=None)
        for _ in range(2):
            assert side.run(None, REQUEST, api_url=server.url)[0].generated_text == "a"
        lines = ["GET /info", "GET /v1/models", "POST /", *["POST /v1/completions"] * 2]
        assert request_lines(server) == lines

    def test_in_streams_too(self, side, serve):
        stream = events({"choices": [{"text": "a", "finish_reason": "length"}]}, done())
        server = serve(answer_by_route(v1_completions=stream), speaks=None)
        assert side.collect(side.stream_tokens(None, REQUEST, api_url=server.url)) == ["a"]

    def test_a_generation_or_a_refusal_is_not_repeated(self, side, serve):
        document = {"error": "`max_new_tokens` must be lower", "error_type": "validation"}
        for refused in (
            as_json(document, status=422),
            as_json({"error": "x"}, status=400),
            events(document),
        ):
            server = serve(answer_by_route(root=refused, v1_completions=COMPLETED), speaks=None)
            with pytest.raises(hfgen.ValidationError):
                side.run(None, REQUEST, api_url=server.url)
            assert request_lines(server)[2:] == ["POST /"]

    def test_neither_dialect_is_accepted(self, side, serve):
        server = serve(answer_by_route(), speaks=None)
        with pytest.raises(hfgen.NotFoundError, match=r"127\.0\.0\.1"):
            side.run(None, REQUEST, api_url=server.url)
        server = serve(
            answer_by_route(v1_completions=as_json({"detail": "too long"}, status=422)), speaks=None
        )
        with pytest.raises(hfgen.ValidationError, match="too long"):
            side.run(None, REQUEST, api_url=server.url)

    @pytest.mark.parametrize(
        "document",
        [
            answer(b"<html>", content_type="text/html"),
            answer(b"{", content_type="application/json"),
            answer(b"[" * 100_000, content_type="application/json"),
            as_json([]),
            as_json({"model_id": None}),
            as_json({"data": 5}),
            as_json({"data": [5, {"id": None}]}),
            tokens("a"),
        ],
    )
    def test_an_invalid_description_is_ignored(self, side, serve, document):
        server = serve(
            answer_by_route(info=document, v1_models=document, root=GENERATED), speaks=None
        )
        assert side.run(None, REQUEST, api_url=server.url)[0].generated_text == "a"

    def test_a_wrong_key_is_raised_at_once(self, side, serve):
        server = serve(as_json({"error": "Unauthorized"}, status=401), speaks=None)
        with pytest.raises(hfgen.AuthenticationError):
            side.run(None, REQUEST, api_url=server.url)
        assert request_lines(server) == ["GET /info"]

    def test_a_server_that_loads_is_waited_for(self, side, serve):
        script = [status(503), as_json(INFO), as_json(GENERATED)]
        server = serve(*script, speaks=None)
        retry = hfgen.Retry(backoff=0.0)
        assert side.run(None, REQUEST, api_url=server.url, retry=retry)
        assert request_lines(server) == ["GET /info", "GET /info", "POST /"]

    @pytest.mark.parametrize(
        ("failure", "kind"), [(503, hfgen.ServerError), (401, hfgen.AuthenticationError)]
    )
    def test_a_failed_question_is_not_remembered(self, side, serve, failure, kind):
        for end in ("", "/v1"):
            script = [status(failure)]

            def respond(request, script=script):
                is_question = request.method == "GET"
                if is_question and script:
                    return script.pop()
                return answer_by_route(v1_models=MODELS, v1_completions=COMPLETED)(request)

            client = side.client(api_url=serve(respond, speaks=None).url + end, max_retries=0)
            request = {"inputs": "x", "parameters": {"truncate": 4}}
            route = "v1/models" if end else "info"
            with pytest.raises(kind, match=rf"GET http.*/{route} asked what the server is"):
                side.call(client.run, request)
            assert side.call(client.run, request)[0].generated_text == "a"

    @pytest.mark.parametrize("failure", [400, 403, 404, 500, 501, 505])
    @pytest.mark.parametrize("end", ["", "/v1"])
    def test_the_answer_is_optional(self, side, serve, failure, end):
        # `transformers serve` without a cache of the Hub: its list of models is a 500.
        routes = {"v1_models": status(failure), "v1_completions": COMPLETED}
        server = serve(answer_by_route(**routes), speaks=None)
        for _ in range(2):
            [text] = side.run(None, "x", api_url=server.url + end)
            assert text.generated_text == "a"
        assert request_lines(server).count("GET /v1/models") == 1

    @pytest.mark.parametrize(("end", "route"), [("", "info"), ("/v1", "v1/models")])
    def test_the_error_of_a_question_that_is_not_answered_names_it(self, side, end, route):
        match = f"GET http://127.0.0.1:9/{route} asked what the server is"
        with pytest.raises(hfgen.ConnectError, match=re.escape(match)):
            side.run(None, "x", api_url=f"http://127.0.0.1:9{end}", max_retries=0)

    def test_a_request_that_cannot_be_sent_asks_nothing(self, side, serve):
        server = serve(as_json(GENERATED), speaks=None)
        with pytest.raises(hfgen.InvalidRequestError):
            side.run(None, {"inputs": "x", "parameters": {"top_k": object()}}, api_url=server.url)
        assert not server.requests

    def test_threads_ask_once(self, serve):
        server = serve(answer_by_route(info=INFO, root=GENERATED), speaks=None)
        with hfgen.Client(api_url=server.url) as client:
            barrier = threading.Barrier(8)

            def run():
                barrier.wait()
                client.run("x")

            threads = [threading.Thread(target=run) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert request_lines(server).count("GET /info") == 1
        assert request_lines(server).count("POST /") == 8


class TestKindsOfServers:
    @pytest.mark.parametrize(
        "request_", ["x", {"inputs": "x", "model": "m"}, {**REQUEST, "parameters": {"stop": ["a"]}}]
    )
    def test_the_kind_is_asked_for_once(self, side, serve, request_):
        server = serve(answer_by_route(v1_models=MODELS, v1_completions=COMPLETED), speaks=None)
        for _ in range(2):
            side.run(None, request_, api_url=f"{server.url}/v1")
        assert request_lines(server) == ["GET /v1/models", *["POST /v1/completions"] * 2]

    @pytest.mark.parametrize("drawing", [{"temperature": 1.0}, {"do_sample": True}, {"top_p": 0.9}])
    def test_the_kind_is_asked_for_if_tokens_are_drawn(self, side, serve, drawing):
        # A temperature alone does not make all servers draw tokens.
        server = serve(answer_by_route(v1_models=MODELS, v1_completions=COMPLETED), speaks=None)
        request = {**REQUEST, "parameters": {"max_new_tokens": 5, **drawing}}
        side.run(None, request, api_url=f"{server.url}/v1")
        assert request_lines(server) == ["GET /v1/models", "POST /v1/completions"]
        server = serve(answer_by_route(v1_models=MODELS, v1_completions=COMPLETED), speaks=None)
        request = {**REQUEST, "parameters": {"max_new_tokens": 5, "do_sample": False}}
        side.run(None, request, api_url=f"{server.url}/v1")
        assert request_lines(server) == ["POST /v1/completions"]

    def test_an_unknown_kind(self, side, serve):
        server = serve(answer_by_route(v1_completions=COMPLETED), speaks=None)
        side.run(None, "x", api_url=f"{server.url}/v1")
        assert server.requests[-1].json["max_tokens"] == 1024

    def test_a_grammar_for_each_kind(self, side, serve):
        grammar = {"type": "regex", "value": "a|b"}
        request = {**REQUEST, "parameters": {"max_new_tokens": 5, "grammar": grammar}}
        for owner, name, value in (
            ("vllm", "structured_outputs", {"regex": "a|b"}),
            ("sglang", "regex", "a|b"),
        ):
            models = {"data": [{"id": "m", "owned_by": owner}]}
            server = serve(answer_by_route(v1_models=models, v1_completions=COMPLETED), speaks=None)
            side.run(None, request, api_url=server.url)
            assert server.requests[-1].json[name] == value
        models = {"data": [{"id": "m", "owned_by": "llamacpp"}]}
        server = serve(answer_by_route(v1_models=models, v1_completions=COMPLETED), speaks=None)
        with pytest.raises(hfgen.InvalidRequestError, match=r"grammar.*llama\.cpp"):
            side.run(None, request, api_url=server.url)

    def test_transformers_serve(self, side, serve):
        # Its `owned_by` is the id of the model, split.
        models = {"data": [{"id": "owner/name", "owned_by": ["owner", "name"]}]}
        server = serve(answer_by_route(v1_models=models, v1_completions=COMPLETED), speaks=None)
        request = {**REQUEST, "parameters": {"max_new_tokens": 5, "temperature": 1.0, "top_k": 3}}
        for end in ("", "/v1"):
            side.run(None, request, api_url=server.url + end)
            sent = server.requests[-1].json
            assert json.loads(sent["generation_config"]) == {"do_sample": True, "top_k": 3}
            assert sent["temperature"] == 1.0
            with pytest.raises(hfgen.InvalidRequestError, match=r"`transformers serve` does not"):
                side.run(None, TWO, api_url=server.url + end)

    @pytest.mark.parametrize("parameters", [{"num_return_sequences": 2}, {"max_time": 1.0}])
    @pytest.mark.parametrize("path", ["", "/", "/generate", "/generate_stream", "/other"])
    @pytest.mark.parametrize("verb", ["run", "stream"])
    def test_what_tgi_ignores_is_refused_on_all_of_its_routes(
        self, side, serve, parameters, path, verb
    ):
        server = serve(tokens("a"))
        request = {"inputs": "x", "parameters": parameters}
        options = {"dialect": "tgi"} if path == "/other" else {}
        with pytest.raises(hfgen.InvalidRequestError, match="TGI does not take it"):
            getattr(side, verb)(None, request, api_url=server.url + path, **options)
        assert [r for r in server.requests if r.method == "POST"] == []


TWO = {**REQUEST, "parameters": {"max_new_tokens": 5, "num_return_sequences": 2}}


class TestSeveralSequences:
    CHOICES = tuple(
        {"choices": [{"index": i, "text": t, "finish_reason": end}]}
        for i, t, end in [(1, "b", None), (0, "a", None), (0, "A", "length"), (1, "B", "stop")]
    )

    def test_a_run(self, side, serve):
        choices = [
            {"index": i, "text": t, "finish_reason": "stop"} for i, t in [(1, "b"), (0, "a")]
        ]
        server = serve(as_json({"choices": choices}), speaks="vllm")
        answers = side.run(None, TWO, api_url=server.url)
        assert [a.generated_text for a in answers] == ["a", "b"]
        assert server.request().json["n"] == 2

    def test_a_run_that_the_server_streams(self, side, serve):
        server = serve(events(*self.CHOICES, done()), speaks="vllm")
        answers = side.run(None, TWO, api_url=server.url)
        assert [a.generated_text for a in answers] == ["aA", "bB"]
        assert [a.details.finish_reason for a in answers] == ["length", "eos_token"]

    def test_a_stream(self, side, serve):
        server = serve(events(*self.CHOICES, done()), speaks="vllm")
        chunks = side.collect(side.stream(None, TWO, api_url=server.url))
        assert [(c.sequence, c.index, c.token.text) for c in chunks] == [
            (1, 1, "b"), (0, 1, "a"), (0, 2, "A"), (1, 2, "B"),
        ]  # fmt: skip
        assert [c.generated_text for c in chunks] == [None, None, "aA", "bB"]

    @pytest.mark.parametrize(("path", "one"), [("/v1", COMPLETED), ("", [GENERATED])])
    @pytest.mark.parametrize("verb", ["run", "stream"])
    def test_fewer_than_asked_for_are_an_error(self, side, serve, path, one, verb):
        # The server is unknown, and may take the parameter.
        server = serve(answer_by_route(v1_completions=as_json(one), root=as_json(one)), speaks=None)
        with pytest.raises(
            hfgen.MalformedAnswerError, match=r"1 of 2 texts.*make a call for each text"
        ):
            side.outcome(verb, None, request=TWO, api_url=server.url + path)

    @pytest.mark.parametrize(
        ("path", "end"), [("/v1", [done()]), ("/v1", []), ("", [])], ids=["done", "no done", "tgi"]
    )
    @pytest.mark.parametrize("verb", ["run", "stream"])
    def test_fewer_in_a_stream_are_an_error(self, side, serve, path, end, verb):
        steps = [
            {"choices": [{"index": 0, "text": "a", "finish_reason": None}]},
            {"choices": [{"index": 0, "text": "b", "finish_reason": "length"}]},
        ]
        stream = events(*steps, *end) if path else tokens("a", "b")
        server = serve(answer_by_route(v1_completions=stream, root=stream), speaks=None)
        with pytest.raises(hfgen.IncompleteGenerationError) as caught:
            side.outcome(verb, None, request=TWO, api_url=server.url + path, max_retries=0)
        if end or not path:
            assert caught.value.text == "ab"
            assert "1 of 2 texts" in caught.value.message

    def test_stream_tokens_is_refused(self, side, serve):
        server = serve(tokens("a"))
        with pytest.raises(hfgen.InvalidRequestError, match="sequence"):
            side.stream_tokens(None, TWO, api_url=server.url)


def test_a_break_after_the_last_token_still_gives_it(side, serve):
    end = {"choices": [{"text": "b", "finish_reason": "length"}]}
    server = serve(events({"choices": [{"text": "a"}]}, end, Cut()), speaks="vllm")
    chunks = side.collect(side.stream(None, REQUEST, api_url=server.url))
    assert [c.token.text for c in chunks] == ["a", "b"]
    assert chunks[-1].generated_text == "ab"


def test_discovery_over_a_fetch(side):
    urls = []

    def respond(request):
        urls.append(request.url)
        document = b'{"model_id": "m"}' if request.method == "GET" else b'{"generated_text": "a"}'
        return reply(document, content_type="application/json")

    client = side.client(fetch=side.fetch(respond), api_url="http://host/")
    assert side.call(client.run, "x")[0].generated_text == "a"
    assert urls == ["http://host/info", "http://host/"]


class TestUrlsOfTheRouter:
    """`router.huggingface.co/hf-inference/models/OWNER/NAME`, as it is copied from a page."""

    BASE = "https://router.huggingface.co/hf-inference/models/owner/name"

    def list_posts(self, side, api_url):
        """Return the URL and the model of each POST to a router that answers 404."""
        requests = []

        def respond(request):
            requests.append(request)
            return reply(b"", status=404)

        client = side.client(fetch=side.fetch(respond), max_retries=0, api_key="hf_key")
        with pytest.raises(hfgen.NotFoundError):
            side.call(client.run, REQUEST, api_url=api_url)
        return [(r.url, json.loads(r.body).get("model")) for r in requests]

    @pytest.mark.parametrize("end", ["", "/"])
    def test_of_a_model(self, side, end):
        assert self.list_posts(side, self.BASE + end) == [
            (self.BASE + end, "m"),
            (f"{self.BASE}/v1/completions", "owner/name"),
        ]

    @pytest.mark.parametrize(
        ("route", "posted"),
        [
            ("/v1", "/v1/completions"),
            ("/v1/", "/v1/completions"),
            ("/v1/completions", "/v1/completions"),
            ("/generate", "/generate"),
        ],
    )
    def test_of_a_route(self, side, route, posted):
        assert self.list_posts(side, self.BASE + route) == [(self.BASE + posted, "m")]

    def test_of_models_below_a_path_of_that_name(self, side):
        base = "https://host/models/of/models/"
        assert self.list_posts(side, base) == [(f"{base}m", None), (f"{base}m/v1/completions", "m")]
