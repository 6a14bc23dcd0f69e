"""`logprobs` on `/v1/completions`."""

import time

import pytest

from hfgen.server import LocalServer, _local_server
from hfgen.server.engine.jobs import Generated, Started


def joined(chunks):
    """The logprobs of all chunks, each of which has those of one token."""
    parts = [chunk["choices"][0]["logprobs"] for chunk in chunks]
    assert all(len(column) == 1 for part in parts for column in part.values())
    return {name: [part[name][0] for part in parts] for name in parts[0]}


def told(*tokens, end="length"):
    """A generation of tokens, each with the likeliest in its place."""
    events = [Generated(token, top) for token, top in tokens[:-1]]
    return [Started(time.perf_counter()), *events, Generated(*tokens[-1], end)]


async def test_logprobs(scripted_server, complete, stream_completion, engine):
    upon = engine.token(" upon", token_id=1, logprob=-0.5)
    by = engine.token("by", token_id=2, logprob=-1.5)
    at = engine.token("at", token_id=3, logprob=-1.5)
    end = engine.token("<|end|>", special=True, token_id=0, logprob=-2.5)
    # Where several are as likely as the last of them, the engine names them all.
    tokens = [(upon, (upon, by, at)), (by, (upon, at)), (end, (upon, by))]
    server, batcher = scripted_server(lambda _: told(*tokens, end="eos_token"))
    asked = {"prompt": "Once", "logprobs": 2}
    (choice,) = (await complete(server, asked))["choices"]
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
    chunks = await stream_completion(server, asked)
    assert joined(chunks) == choice["logprobs"]
    assert "usage" not in chunks[0]
    assert chunks[-1]["usage"] == {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}
    assert [batcher.job(index).job.top_n_tokens for index in range(2)] == [2, 2]


async def test_no_logprobs_but_those_of_the_tokens(
    scripted_server, complete, stream_completion, engine
):
    server, batcher = scripted_server(lambda _: engine.story(" upon", " a"))
    asked = {"prompt": "Once", "logprobs": 0}
    (choice,) = (await complete(server, asked))["choices"]
    assert choice["logprobs"] == {
        "tokens": [" upon", " a"],
        "token_logprobs": [-0.5, -0.5],
        "top_logprobs": [{" upon": -0.5}, {" a": -0.5}],
        "text_offset": [0, 5],
    }
    assert joined(await stream_completion(server, asked)) == choice["logprobs"]
    assert batcher.job().job.top_n_tokens == 0


async def test_characters_that_span_tokens(scripted_server, complete, stream_completion, engine):
    half = engine.token("", token_id=1, logprob=-0.25)
    whole = engine.token("\N{FOX FACE}", token_id=2, logprob=-0.75)
    other = engine.token("\N{REPLACEMENT CHARACTER}", token_id=3, logprob=-2.0)
    # By themselves the parts of a character are all one text, and not that of their place.
    part, rest = (
        engine.token("\N{REPLACEMENT CHARACTER}", token_id=token_id, logprob=logprob)
        for token_id, logprob in ((1, -0.25), (2, -0.75))
    )
    less = engine.token("\N{REPLACEMENT CHARACTER}", token_id=4, logprob=-3.0)
    after = engine.token("!", token_id=5, logprob=-1.0)
    tokens = [(half, (part, other, less)), (whole, (rest, other, less)), (after, (after,))]
    server, _ = scripted_server(lambda _: told(*tokens))
    asked = {"prompt": "Once", "logprobs": 3}
    (choice,) = (await complete(server, asked))["choices"]
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
    assert joined(await stream_completion(server, asked)) == choice["logprobs"]


async def test_special_tokens_take_no_room(scripted_server, complete, stream_completion, engine):
    server, _ = scripted_server(lambda _: engine.story("a", "<|x|>", "b", "<|end|>"))
    asked = {"prompt": "Once", "logprobs": 0}
    (choice,) = (await complete(server, asked))["choices"]
    assert choice["text"] == "ab"
    assert choice["logprobs"]["tokens"] == ["a", "<|x|>", "b", "<|end|>"]
    assert choice["logprobs"]["text_offset"] == [0, 1, 1, 2]
    assert joined(await stream_completion(server, asked)) == choice["logprobs"]


async def test_each_choice_counts_its_own_characters(
    scripted_server, complete, stream_completion, engine
):
    server, _ = scripted_server(lambda job: engine.story("x" * len(job.input_ids), "y"))
    asked = {"prompt": ["a", "bb"], "logprobs": 0}
    choices = (await complete(server, asked))["choices"]
    assert [choice["logprobs"]["text_offset"] for choice in choices] == [[0, 1], [0, 2]]
    chunks = await stream_completion(server, asked)
    for index in range(2):
        its = [chunk for chunk in chunks if chunk["choices"][0]["index"] == index]
        assert joined(its) == choices[index]["logprobs"]


async def test_more_logprobs_than_the_server_gives(scripted_server, complete, stream_completion):
    server, batcher = scripted_server()
    asked = {"prompt": "a", "logprobs": 6}
    words = "Input validation error: `top_n_tokens` must be >= 0 and <= 5. Given: 6"
    assert await complete(server, asked, 422) == {"error": words, "error_type": "validation"}
    assert await stream_completion(server, asked) == [
        {"error": {"message": words, "http_status_code": 422}}
    ]
    assert batcher.jobs == []


@pytest.fixture
def both_dialects(http, complete, stream_completion):
    """Ask for one generation on either route, in a stream and not; return it where all agree."""

    async def ask(server, prompt, **settings):
        seed, count = settings.get("seed"), settings["max_tokens"]
        asked = {"prompt": prompt, "logprobs": 3, "temperature": 0, **settings}
        completion = await complete(server, asked)
        (choice,) = completion["choices"]
        chunks = await stream_completion(server, asked)
        parameters = {"max_new_tokens": count, "details": True, "top_n_tokens": 3, "seed": seed}
        if "temperature" in settings:
            parameters["temperature"] = settings["temperature"]
        native = {"inputs": prompt, "parameters": parameters}
        async with http.post(f"{server.url}/generate", json=native) as response:
            answer = await response.json()
        details = answer["details"]

        logprobs = choice["logprobs"]
        assert joined(chunks) == logprobs
        assert logprobs["tokens"] == [token["text"] for token in details["tokens"]]
        assert logprobs["token_logprobs"] == [token["logprob"] for token in details["tokens"]]
        for token, likeliest, by_text in zip(
            details["tokens"], details["top_tokens"], logprobs["top_logprobs"], strict=True
        ):
            assert by_text[token["text"]] == token["logprob"]
            shown = [token if each["id"] == token["id"] else each for each in likeliest[:3]]
            assert {each["text"] for each in (*shown, token)} == by_text.keys()
            assert max(by_text.values()) == likeliest[0]["logprob"]
        for text, offset in zip(logprobs["tokens"], logprobs["text_offset"], strict=True):
            assert choice["text"].startswith(text, offset) or text == logprobs["tokens"][-1]
        assert choice["text"] == answer["generated_text"]
        assert completion["usage"] == chunks[-1]["usage"]
        assert completion["usage"]["completion_tokens"] == details["generated_tokens"]
        return choice

    return ask


@pytest.mark.parametrize("prompt", ["Once upon a time", "Zoë né \N{FOX FACE} —"])
async def test_both_dialects_say_the_same(local_server, both_dialects, prompt):
    choice = await both_dialects(local_server, prompt, max_tokens=24)
    assert len(choice["logprobs"]["tokens"]) <= 24


async def test_both_dialects_draw_the_same(local_server, both_dialects):
    choice = await both_dialects(local_server, "Once", max_tokens=60, temperature=3.0, seed=4)
    # Hot enough for bytes that make up no character.
    assert "" in choice["logprobs"]["tokens"]
    assert "\N{REPLACEMENT CHARACTER}" in choice["text"]


@pytest.fixture
def led_server(monkeypatch):
    """Start a server with the bundled model, which is made to say a text: `led_server(text)`."""
    real, servers = _local_server.load_engine, []

    def start(text):
        def load(options):
            model, batcher = real(options)
            ids = model.tokenizer.encode(text, add_special_tokens=False).ids
            said = []

            def led(method):
                def call(*args, **kwargs):
                    logits = method(*args, **kwargs)
                    logits[-1][ids[len(said) % len(ids)]] += 100
                    said.append(None)
                    return logits

                return call

            for name in ("extend", "step"):
                monkeypatch.setattr(model.engine, name, led(getattr(model.engine, name)))
            return model, batcher

        monkeypatch.setattr(_local_server, "load_engine", load)
        servers.append(LocalServer().start())
        return servers[0]

    yield start
    for server in servers:
        server.stop()


async def test_both_dialects_spell_the_same(led_server, both_dialects, http):
    text = " né \N{FOX FACE} Zoë — ok"
    server = led_server(text)
    async with http.post(f"{server.url}/tokenize", json={"inputs": text}) as response:
        count = len(await response.json())
    choice = await both_dialects(server, "Once", max_tokens=count)
    assert choice["text"] == text
    logprobs = choice["logprobs"]
    assert logprobs["tokens"].count("") >= 5
    fox = logprobs["tokens"].index("\N{FOX FACE}")
    assert logprobs["tokens"][fox - 3 : fox] == [""] * 3
    assert logprobs["text_offset"][fox - 3 : fox + 2] == [4, 4, 4, 4, 5]
