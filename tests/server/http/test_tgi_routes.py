import re

import pytest

from hfgen.server.engine.jobs import Failed, Generated, PrefillToken, Started

GREEDY = {"inputs": "Once", "parameters": {}}


def make_payload(inputs="Once", **parameters):
    return {"inputs": inputs, "parameters": parameters}


def wire_token(text, *, special=False, token_id=7, logprob=-0.5):
    return {"id": token_id, "text": text, "logprob": logprob, "special": special}


async def test_generate_answers_with_the_text_alone(scripted_server, engine, http):
    server, batcher = scripted_server(
        lambda _: engine.story(" upon", " a", "<|end|>", end="eos_token")
    )
    async with http.post(f"{server.url}/generate", json=GREEDY) as response:
        assert response.status == 200
        assert response.headers["content-type"] == "application/json"
        assert await response.text() == '{"generated_text":" upon a"}'
    assert not batcher.job().cancelled.is_set()


async def test_generate_has_headers_with_durations(scripted_server, engine, http):
    server, _ = scripted_server(lambda _: engine.story(" upon", " a"))
    async with http.post(f"{server.url}/generate", json=make_payload("né")) as response:
        headers = response.headers
    assert headers["x-compute-type"] == "cpu"
    assert headers["x-compute-characters"] == "2"
    assert headers["x-prompt-tokens"] == "3"
    assert headers["x-generated-tokens"] == "2"
    assert 0 < float(headers["x-compute-time"]) < 60
    for name in ("total-time", "validation-time", "queue-time", "inference-time", "time-per-token"):
        assert re.fullmatch(r"\d+", headers[f"x-{name}"])
    assert "server" not in headers


async def test_details(scripted_server, engine, http):
    server, _ = scripted_server(lambda _: engine.story(" upon", "<|end|>", end="eos_token"))
    payload = make_payload(details=True, seed=2**64 - 1, do_sample=True)
    async with http.post(f"{server.url}/generate", json=payload) as response:
        answer = await response.json()
    assert list(answer) == ["generated_text", "details"]
    assert list(answer["details"].items()) == [
        ("finish_reason", "eos_token"),
        ("generated_tokens", 2),
        ("seed", 2**64 - 1),
        ("prefill", []),
        ("tokens", [wire_token(" upon"), wire_token("<|end|>", special=True)]),
    ]


async def test_a_greedy_generation_has_no_seed(scripted_server, engine, http):
    server, _ = scripted_server(lambda _: engine.story(" upon"))
    payload = make_payload(details=True, seed=3)
    async with http.post(f"{server.url}/generate", json=payload) as response:
        assert (await response.json())["details"]["seed"] is None


async def test_decoder_input_details_bring_the_prefill_and_the_details(
    scripted_server, engine, http
):
    def script(job):
        assert job.prefill_logprobs
        prefill = (PrefillToken(1, "On", None), PrefillToken(2, "ce", -1.5))
        return [Started(0.0, prefill), *engine.story(" upon")[1:]]

    server, _ = scripted_server(script)
    payload = make_payload(decoder_input_details=True)
    async with http.post(f"{server.url}/generate", json=payload) as response:
        details = (await response.json())["details"]
    assert details["prefill"] == [
        {"id": 1, "text": "On", "logprob": None},
        {"id": 2, "text": "ce", "logprob": -1.5},
    ]


async def test_top_tokens(scripted_server, engine, http):
    def script(job):
        assert job.top_n_tokens == 2
        top = (engine.token("a"), engine.token("b", token_id=8))
        return [Started(0.0), Generated(engine.token("a"), top, "length")]

    server, _ = scripted_server(script)
    payload = make_payload(details=True, top_n_tokens=2)
    async with http.post(f"{server.url}/generate", json=payload) as response:
        details = (await response.json())["details"]
    assert details["top_tokens"] == [[wire_token("a"), wire_token("b", token_id=8)]]


@pytest.mark.parametrize(
    ("route", "parameters", "echoed"),
    [
        ("/generate", {}, False),
        ("/generate", {"return_full_text": True}, True),
        ("/", {}, True),
        ("/", {"return_full_text": None}, True),
        ("/", {"return_full_text": False}, False),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_prompt_is_echoed(
    *, scripted_server, engine, http, parse_events, route, parameters, echoed, stream
):
    server, _ = scripted_server(lambda _: engine.story(" upon"))
    if stream and route == "/generate":
        route = "/generate_stream"
    payload = {"inputs": "Once", "parameters": parameters, "stream": stream}
    async with http.post(server.url + route, json=payload) as response:
        body = await response.text()
        answer = parse_events(body)[-1] if stream else await response.json()
    if route == "/" and not stream:
        (answer,) = answer
    assert answer["generated_text"] == ("Once upon" if echoed else " upon")


async def test_best_of_answers_with_the_likeliest(scripted_server, engine, http):
    def script(job):
        # Two tokens at -1 each beat one at -1.5: the mean counts, not the sum.
        story = [engine.token("a", logprob=-1.5)]
        if len(batcher.jobs) == 2:
            story = [engine.token("b", logprob=-1.0), engine.token("c", logprob=-1.0)]
        last = Generated(story.pop(), finish_reason="length")
        return [Started(0.0), *map(Generated, story), last]

    server, batcher = scripted_server(script)
    payload = make_payload(best_of=2, do_sample=True, details=True, return_full_text=True)
    async with http.post(f"{server.url}/generate", json=payload) as response:
        answer = await response.json()
        assert response.headers["x-generated-tokens"] == "2"
    assert answer["generated_text"] == "Oncebc"
    first, second = (job.job.sampling.seed for job in batcher.jobs)
    assert first != second
    assert answer["details"]["seed"] == second
    (other,) = answer["details"]["best_of_sequences"]
    assert list(other.items()) == [
        ("generated_text", "Oncea"),
        ("finish_reason", "length"),
        ("generated_tokens", 1),
        ("seed", first),
        ("prefill", []),
        ("tokens", [wire_token("a", logprob=-1.5)]),
    ]


async def test_best_of_is_checked_first(scripted_server, http):
    server, batcher = scripted_server()
    async with http.post(f"{server.url}/generate", json=make_payload("", best_of=3)) as response:
        assert response.status == 422
        assert await response.json() == {
            "error": "Input validation error: `best_of` must be > 0 and <= 2. Given: 3",
            "error_type": "validation",
        }
    assert batcher.jobs == []


@pytest.mark.parametrize("route", ["/", "/generate"])
async def test_an_error_is_answered_with_its_status(scripted_server, engine, http, route):
    server, _ = scripted_server(lambda _: [*engine.story(" upon")[:1], Failed("out of luck")])
    async with http.post(server.url + route, json=GREEDY) as response:
        assert response.status == 424
        assert await response.json() == {
            "error": "Request failed during generation: out of luck",
            "error_type": "generation",
        }
    async with http.post(server.url + route, json=make_payload("")) as response:
        assert response.status == 422
        assert await response.json() == {
            "error": "Input validation error: `inputs` cannot be empty",
            "error_type": "validation",
        }


async def test_one_failed_sequence_cancels_the_others(scripted_server, http):
    server, batcher = scripted_server(
        lambda _: [Failed("out of luck")] if len(batcher.jobs) == 2 else []
    )
    payload = make_payload(best_of=2, do_sample=True)
    async with http.post(f"{server.url}/generate", json=payload) as response:
        assert response.status == 424
    assert batcher.job(0).cancelled.is_set()


async def test_a_stream_byte_by_byte(scripted_server, engine, http):
    server, _ = scripted_server(lambda _: engine.story(" upon", "", "<|end|>", end="eos_token"))
    async with http.post(f"{server.url}/generate_stream", json=GREEDY) as response:
        assert response.status == 200
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["cache-control"] == "no-cache"
        assert response.headers["x-accel-buffering"] == "no"
        assert response.headers["x-compute-type"] == "cpu"
        assert response.headers["x-compute-characters"] == "4"
        body = await response.text()
    assert body == (
        'data: {"index":1,"token":{"id":7,"text":" upon","logprob":-0.5,"special":false},'
        '"generated_text":null,"details":null}\n\n'
        'data: {"index":2,"token":{"id":7,"text":"","logprob":-0.5,"special":false},'
        '"generated_text":null,"details":null}\n\n'
        'data: {"index":3,"token":{"id":7,"text":"<|end|>","logprob":-0.5,"special":true},'
        '"generated_text":" upon","details":null}\n\n'
    )


async def test_the_last_event_has_the_details(scripted_server, engine, http, parse_events):
    def script(job):
        top = (engine.token("a"),)
        last = Generated(engine.token("b"), top, "stop_sequence")
        return [Started(0.0), Generated(engine.token("a"), top), last]

    server, _ = scripted_server(script)
    payload = make_payload("né", details=True, seed=5, temperature=0.5, top_n_tokens=1)
    async with http.post(f"{server.url}/generate_stream", json=payload) as response:
        first, last = parse_events(await response.text())
    assert list(first) == ["index", "token", "top_tokens", "generated_text", "details"]
    assert first["top_tokens"] == [wire_token("a")]
    assert first["details"] is None
    assert list(last["details"].items()) == [
        ("finish_reason", "stop_sequence"),
        ("generated_tokens", 2),
        ("seed", 5),
        ("input_length", 3),
    ]


async def test_unicode_line_separators_stay_in_the_data_line(
    scripted_server, engine, http, parse_events
):
    text = "a\u2028b\u2029c\u0085d\ve\ff\rg\nh"
    server, _ = scripted_server(lambda _: engine.story(text))
    async with http.post(f"{server.url}/generate_stream", json=GREEDY) as response:
        (event,) = parse_events(await response.text())
    assert event["generated_text"] == text


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (make_payload(""), "`inputs` cannot be empty"),
        (
            make_payload("", best_of=2),
            "`best_of` != 1 is not supported when streaming tokens",
        ),
    ],
)
async def test_a_stream_refuses_in_band(scripted_server, http, parse_events, payload, words):
    server, _ = scripted_server()
    async with http.post(f"{server.url}/generate_stream", json=payload) as response:
        assert response.status == 200
        assert response.headers["content-type"] == "text/event-stream"
        assert parse_events(await response.text()) == [
            {"error": f"Input validation error: {words}", "error_type": "validation"}
        ]


async def test_a_stream_fails_in_band(scripted_server, engine, http, parse_events):
    server, _ = scripted_server(lambda _: [*engine.story("a", "b")[:2], Failed("out of luck")])
    async with http.post(f"{server.url}/generate_stream", json=GREEDY) as response:
        first, last = parse_events(await response.text())
    assert first["token"]["text"] == "a"
    assert last == {
        "error": "Request failed during generation: out of luck",
        "error_type": "generation",
    }


async def test_a_token_is_sent_as_soon_as_it_is_generated(scripted_server, engine, http):
    server, batcher = scripted_server()
    async with http.post(f"{server.url}/generate_stream", json=GREEDY) as response:
        job = batcher.job()
        start, *tokens = engine.story("a", "b", "c")
        job.play([start])
        for token in tokens:
            job.play([token])
            chunk = await response.content.readuntil(b"\n\n")
            assert f'"text":"{token.token.text}"'.encode() in chunk
        assert await response.read() == b""


async def test_tokenize_counts_bytes(scripted_server, http):
    server, _ = scripted_server()
    payload = make_payload("aé", do_sample=True)
    async with http.post(f"{server.url}/tokenize", json=payload) as response:
        assert response.status == 200
        tokens = await response.json()
    assert [list(token) for token in tokens] == [["id", "text", "start", "stop"]] * 3
    assert [(t["text"], t["start"], t["stop"]) for t in tokens] == [
        ("a", 0, 1),
        ("é", 1, 3),
        ("é", 1, 3),
    ]


@pytest.mark.parametrize(
    ("route", "payload", "words"),
    [
        (
            "/generate",
            {"inputs": "a", "stream": True},
            "`stream` is not supported here: post to `/generate_stream`, or to `/`",
        ),
        (
            "/generate_stream",
            {"inputs": "a", "stream": False},
            "`stream` is always true here: post to `/generate`, or to `/`",
        ),
        ("/tokenize", make_payload("a", truncate=1), "`truncate` is not supported by `/tokenize`"),
    ],
)
async def test_fields_that_a_route_does_not_do_are_refused(
    *, scripted_server, http, route, payload, words
):
    server, batcher = scripted_server()
    async with http.post(server.url + route, json=payload) as response:
        assert response.status == 422
        assert await response.json() == {
            "error": f"Input validation error: {words}",
            "error_type": "validation",
        }
    assert batcher.jobs == []


@pytest.mark.parametrize("route", ["/", "/generate", "/generate_stream", "/tokenize"])
async def test_unknown_fields_are_refused_on_every_route(scripted_server, http, route):
    server, batcher = scripted_server()
    for payload in (make_payload("a", num_beams=2), {"inputs": "a", "num_beams": 2}):
        async with http.post(server.url + route, json=payload) as response:
            assert response.status == 422
            assert "unknown field `num_beams`" in await response.text()
    assert batcher.jobs == []


async def test_tokenize_takes_an_empty_text(scripted_server, http):
    server, _ = scripted_server()
    async with http.post(f"{server.url}/tokenize", json=make_payload("")) as response:
        assert await response.json() == []
