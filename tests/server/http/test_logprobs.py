"""`logprobs` on `/v1/completions`."""

import time

import pytest

from hfgen.server import LocalServer, _local_server
from hfgen.server.engine.jobs import Generated, Started


def join_logprobs(chunks):
    """Join the logprobs of all chunks, each of which has one token."""
    parts = [chunk["choices"][0]["logprobs"] for chunk in chunks]
    assert all(len(column) == 1 for part in parts for column in part.values())
    return {name: [part[name][0] for part in parts] for name in parts[0]}


def make_story(*tokens, end="length"):
    """Return the events of a generation of tokens, each with its most likely tokens."""
    events = [Generated(token, top) for token, top in tokens[:-1]]
    return [Started(time.perf_counter()), *events, Generated(*tokens[-1], end)]


async def test_logprobs(scripted_server, complete, stream_completion, engine):
    upon = engine.token(" upon", token_id=1, logprob=-0.5)
    by = engine.token("by", token_id=2, logprob=-1.5)
    at = engine.token("at", token_id=3, logprob=-1.5)
    end = engine.token("<|end|>", special=True, token_id=0, logprob=-2.5)
    # The engine reports all tokens that are as likely as the last one of the top.
    tokens = [(upon, (upon, by, at)), (by, (upon, at)), (end, (upon, by))]
    server, batcher = scripted_server(lambda _: make_story(*tokens, end="eos_token"))
    payload = {"prompt": "Once", "logprobs": 2}
    (choice,) = (await complete(server, payload))["choices"]
    assert choice["text"] == " uponby"
    assert list(choice["logprobs"].items()) == [
        ("tokens", [" upon", "by", "<|end|>"]),
        ("token_logprobs", [-0.5, -1.5, -2.5]),
        (
            "top_logprobs",
            [
                {" upon": -0.5, "by": -1.5},
                {" upon": -0.5, "at": -1.5, "by": -1.5},
                {" upon": -0.5, "by": -1.5, "<|end|>": -2.5},
            ],
        ),
        ("text_offset", [0, 5, 7]),
    ]
    chunks = await stream_completion(server, payload)
    assert join_logprobs(chunks) == choice["logprobs"]
    assert "usage" not in chunks[0]
    assert chunks[-1]["usage"] == {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}
    assert [batcher.job(index).job.top_n_tokens for index in range(2)] == [2, 2]


async def test_no_logprobs_but_those_of_the_tokens(
    scripted_server, complete, stream_completion, engine
):
    server, batcher = scripted_server(lambda _: engine.story(" upon", " a"))
    payload = {"prompt": "Once", "logprobs": 0}
    (choice,) = (await complete(server, payload))["choices"]
    assert choice["logprobs"] == {
        "tokens": [" upon", " a"],
        "token_logprobs": [-0.5, -0.5],
        "top_logprobs": [{" upon": -0.5}, {" a": -0.5}],
        "text_offset": [0, 5],
    }
    assert join_logprobs(await stream_completion(server, payload)) == choice["logprobs"]
    assert batcher.job().job.top_n_tokens == 0


async def test_characters_that_span_tokens(scripted_server, complete, stream_completion, engine):
    half = engine.token("", token_id=1, logprob=-0.25)
    whole = engine.token("\N{FOX FACE}", token_id=2, logprob=-0.75)
    other = engine.token("\N{REPLACEMENT CHARACTER}", token_id=3, logprob=-2.0)
    # Decoded alone, every part of a character is the replacement character.
    part, rest = (
        engine.token("\N{REPLACEMENT CHARACTER}", token_id=token_id, logprob=logprob)
        for token_id, logprob in ((1, -0.25), (2, -0.75))
    )
    less = engine.token("\N{REPLACEMENT CHARACTER}", token_id=4, logprob=-3.0)
    after = engine.token("!", token_id=5, logprob=-1.0)
    tokens = [(half, (part, other, less)), (whole, (rest, other, less)), (after, (after,))]
    server, _ = scripted_server(lambda _: make_story(*tokens))
    payload = {"prompt": "Once", "logprobs": 3}
    (choice,) = (await complete(server, payload))["choices"]
    assert choice["text"] == "\N{FOX FACE}!"
    assert choice["logprobs"] == {
        "tokens": ["", "\N{FOX FACE}", "!"],
        "token_logprobs": [-0.25, -0.75, -1.0],
        "top_logprobs": [
            {"": -0.25, "\N{REPLACEMENT CHARACTER}": -2.0},
            {"\N{FOX FACE}": -0.75, "\N{REPLACEMENT CHARACTER}": -2.0},
            {"!": -1.0},
        ],
        "text_offset": [0, 0, 1],
    }
    assert join_logprobs(await stream_completion(server, payload)) == choice["logprobs"]


async def test_special_tokens_have_no_offset_of_their_own(
    scripted_server, complete, stream_completion, engine
):
    server, _ = scripted_server(lambda _: engine.story("a", "<|x|>", "b", "<|end|>"))
    payload = {"prompt": "Once", "logprobs": 0}
    (choice,) = (await complete(server, payload))["choices"]
    assert choice["text"] == "ab"
    assert choice["logprobs"]["tokens"] == ["a", "<|x|>", "b", "<|end|>"]
    assert choice["logprobs"]["text_offset"] == [0, 1, 1, 2]
    assert join_logprobs(await stream_completion(server, payload)) == choice["logprobs"]


async def test_each_choice_counts_its_own_characters(
    scripted_server, complete, stream_completion, engine
):
    server, _ = scripted_server(lambda job: engine.story("x" * len(job.input_ids), "y"))
    payload = {"prompt": ["a", "bb"], "logprobs": 0}
    choices = (await complete(server, payload))["choices"]
    assert [choice["logprobs"]["text_offset"] for choice in choices] == [[0, 1], [0, 2]]
    chunks = await stream_completion(server, payload)
    for index in range(2):
        own_chunks = [chunk for chunk in chunks if chunk["choices"][0]["index"] == index]
        assert join_logprobs(own_chunks) == choices[index]["logprobs"]


async def test_more_logprobs_than_the_server_gives(scripted_server, complete, stream_completion):
    server, batcher = scripted_server()
    payload = {"prompt": "a", "logprobs": 6}
    words = "Input validation error: `top_n_tokens` must be >= 0 and <= 5. Given: 6"
    assert await complete(server, payload, 422) == {"error": words, "error_type": "validation"}
    assert await stream_completion(server, payload) == [
        {"error": {"message": words, "http_status_code": 422}}
    ]
    assert batcher.jobs == []


@pytest.fixture
def both_dialects(http, complete, stream_completion):
    """Ask for one generation on either route, in a stream and not; return it where all agree."""

    async def ask(server, prompt, **settings):
        seed, count = settings.get("seed"), settings["max_tokens"]
        payload = {"prompt": prompt, "logprobs": 3, "temperature": 0, **settings}
        completion = await complete(server, payload)
        (choice,) = completion["choices"]
        chunks = await stream_completion(server, payload)
        parameters = {"max_new_tokens": count, "details": True, "top_n_tokens": 3, "seed": seed}
        if "temperature" in settings:
            parameters["temperature"] = settings["temperature"]
        tgi_payload = {"inputs": prompt, "parameters": parameters}
        async with http.post(f"{server.url}/generate", json=tgi_payload) as response:
            answer = await response.json()
        details = answer["details"]

        logprobs = choice["logprobs"]
        assert join_logprobs(chunks) == logprobs
        assert logprobs["tokens"] == [token["text"] for token in details["tokens"]]
        assert logprobs["token_logprobs"] == [token["logprob"] for token in details["tokens"]]
        for token, likeliest, by_text in zip(
            details["tokens"], details["top_tokens"], logprobs["top_logprobs"], strict=True
        ):
            assert by_text[token["text"]] == token["logprob"]
            likeliest_tokens = [
                token if item["id"] == token["id"] else item for item in likeliest[:3]
            ]
            assert {item["text"] for item in (*likeliest_tokens, token)} == by_text.keys()
            assert max(by_text.values()) == likeliest[0]["logprob"]
        for text, offset in zip(logprobs["tokens"], logprobs["text_offset"], strict=True):
            assert choice["text"].startswith(text, offset) or text == logprobs["tokens"][-1]
        assert choice["text"] == answer["generated_text"]
        assert completion["usage"] == chunks[-1]["usage"]
        assert completion["usage"]["completion_tokens"] == details["generated_tokens"]
        return choice

    return ask


@pytest.mark.parametrize("prompt", ["Once upon a time", "Zoë né \N{FOX FACE} —"])
async def test_both_dialects_give_the_same_logprobs(local_server, both_dialects, prompt):
    choice = await both_dialects(local_server, prompt, max_tokens=24)
    assert len(choice["logprobs"]["tokens"]) <= 24


async def test_both_dialects_draw_the_same_tokens(local_server, both_dialects):
    choice = await both_dialects(local_server, "Once", max_tokens=60, temperature=3.0, seed=4)
    # The temperature is high enough for bytes that are no character.
    assert "" in choice["logprobs"]["tokens"]
    assert "\N{REPLACEMENT CHARACTER}" in choice["text"]


@pytest.fixture
def steered_server(monkeypatch):
    """Start a server whose bundled model generates a given text: `steered_server(text)`."""
    load_real, servers = _local_server.load_engine, []

    def start(text):
        def load(options):
            model, batcher = load_real(options)
            ids = model.tokenizer.encode(text, add_special_tokens=False).ids
            calls = []

            def steer(method):
                def call(*args, **kwargs):
                    logits = method(*args, **kwargs)
                    logits[-1][ids[len(calls) % len(ids)]] += 100
                    calls.append(None)
                    return logits

                return call

            for name in ("extend", "step"):
                monkeypatch.setattr(model.engine, name, steer(getattr(model.engine, name)))
            return model, batcher

        monkeypatch.setattr(_local_server, "load_engine", load)
        servers.append(LocalServer().start())
        return servers[0]

    yield start
    for server in servers:
        server.stop()


async def test_both_dialects_give_the_same_text(steered_server, both_dialects, http):
    text = " né \N{FOX FACE} Zoë — ok"
    server = steered_server(text)
    async with http.post(f"{server.url}/tokenize", json={"inputs": text}) as response:
        count = len(await response.json())
    choice = await both_dialects(server, "Once", max_tokens=count)
    assert choice["text"] == text
    logprobs = choice["logprobs"]
    assert logprobs["tokens"].count("") >= 5
    fox = logprobs["tokens"].index("\N{FOX FACE}")
    assert logprobs["tokens"][fox - 3 : fox] == [""] * 3
    assert logprobs["text_offset"][fox - 3 : fox + 2] == [4, 4, 4, 4, 5]
