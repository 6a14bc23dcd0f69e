import pytest

from hfgen.server.engine.jobs import Failed


def without_time(answer):
    return {**answer, "created": 0}


async def test_a_completion(scripted_server, engine, http):
    server, batcher = scripted_server(
        lambda _: engine.story(" upon", "<|end|>", end="eos_token"), max_positions=100
    )
    payload = {"model": "scripted", "prompt": "né", "temperature": 0}
    async with http.post(f"{server.url}/v1/completions", json=payload) as response:
        assert response.status == 200
        answer = await response.json()
        headers = response.headers
    assert answer["created"] > 1_700_000_000
    assert list(without_time(answer).items()) == [
        ("object", "text_completion"),
        ("id", ""),
        ("created", 0),
        ("model", "scripted"),
        ("system_fingerprint", answer["system_fingerprint"]),
        (
            "choices",
            [{"index": 0, "text": " upon", "logprobs": None, "finish_reason": "stop"}],
        ),
        ("usage", {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}),
    ]
    assert answer["system_fingerprint"].endswith("-native")
    assert headers["x-prompt-tokens"] == "3"
    assert headers["x-generated-tokens"] == "2"
    assert headers["x-compute-characters"] == "2"
    assert "x-compute-time" not in headers
    job = batcher.job().job
    assert not job.sampling.do_sample
    assert job.max_new_tokens == 97


async def test_a_list_of_prompts(scripted_server, engine, http):
    server, _ = scripted_server(lambda job: engine.story(*"abc"[: len(job.input_ids)]))
    payload = {"prompt": ["x", "yy", "zzz"]}
    async with http.post(f"{server.url}/v1/completions", json=payload) as response:
        answer = await response.json()
        assert response.headers["x-generated-tokens"] == "6"
        assert response.headers["x-compute-characters"] == "6"
    assert [(c["index"], c["text"]) for c in answer["choices"]] == [(0, "a"), (1, "ab"), (2, "abc")]
    assert {c["finish_reason"] for c in answer["choices"]} == {"length"}
    assert answer["usage"] == {"prompt_tokens": 6, "completion_tokens": 6, "total_tokens": 12}


async def test_a_stream(scripted_server, engine, http, parse_events):
    server, _ = scripted_server(lambda _: engine.story(" upon", "<|end|>", end="eos_token"))
    payload = {"prompt": "Once", "stream": True}
    async with http.post(f"{server.url}/v1/completions", json=payload) as response:
        assert response.status == 200
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["x-accel-buffering"] == "no"
        assert response.headers["x-compute-characters"] == "4"
        first, last, done = parse_events(await response.text())
    fingerprint = first["system_fingerprint"]
    assert list(without_time(first).items()) == [
        ("object", "text_completion"),
        ("id", ""),
        ("created", 0),
        ("choices", [{"index": 0, "text": " upon", "logprobs": None, "finish_reason": ""}]),
        ("model", "scripted"),
        ("system_fingerprint", fingerprint),
    ]
    assert list(without_time(last).items()) == [
        ("object", "text_completion"),
        ("id", ""),
        ("created", 0),
        ("model", "scripted"),
        ("system_fingerprint", fingerprint),
        (
            "choices",
            [{"index": 0, "text": "<|end|>", "logprobs": None, "finish_reason": "eos_token"}],
        ),
        ("usage", {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}),
    ]
    assert done == "[DONE]"


async def test_a_stream_of_two_prompts_of_which_one_is_refused_and_one_fails(
    scripted_server, engine, http, parse_events
):
    def script(job):
        return [Failed("out of luck")] if len(job.input_ids) == 1 else engine.story("a", "b")

    server, _ = scripted_server(script)
    payload = {"prompt": ["x", "", "yy"], "stream": True}
    async with http.post(f"{server.url}/v1/completions", json=payload) as response:
        assert response.status == 200
        events = parse_events(await response.text())
    errors = [event["error"] for event in events if "error" in event]
    assert errors == [
        {
            "message": "Input validation error: `inputs` cannot be empty",
            "http_status_code": 422,
        },
        {
            "message": "Request failed during generation: out of luck",
            "http_status_code": 422,
        },
    ]
    choices = [event["choices"][0] for event in events if "choices" in event]
    assert [(c["index"], c["text"], c["finish_reason"]) for c in choices] == [
        (2, "a", ""),
        (2, "b", "length"),
    ]
    assert events[-1] == "[DONE]"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("payload", "words", "error_type"),
    [
        (
            {"prompt": "a", "suffix": "b"},
            "Suffix is not supported and can be achieved by preprocessing the prompt.",
            "suffix not supported",
        ),
        (
            {"prompt": list("abcde")},
            "Number of prompts exceeds the maximum allowed batch size of 4",
            "batch size exceeded",
        ),
    ],
)
async def test_requests_that_are_refused_before_a_stream_begins(
    *, scripted_server, http, payload, words, error_type, stream
):
    server, _ = scripted_server()
    payload = {**payload, "stream": stream}
    async with http.post(f"{server.url}/v1/completions", json=payload) as response:
        assert response.status == 422
        assert await response.json() == {"error": words, "error_type": error_type}


async def test_an_error_outside_a_stream_has_its_status(scripted_server, http):
    server, _ = scripted_server(lambda _: [Failed("out of luck")])
    async with http.post(f"{server.url}/v1/completions", json={"prompt": "a"}) as response:
        assert response.status == 424
        assert await response.json() == {
            "error": "Request failed during generation: out of luck",
            "error_type": "generation",
        }


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("payload", "count"),
    [
        ({"prompt": "a"}, 2),
        ({"prompt": ["a", "b", "c"]}, 4),
        ({"prompt": "a", "suffix": "b"}, 1),
    ],
)
async def test_a_request_is_counted_once_and_for_each_prompt(
    *, scripted_server, engine, http, payload, count, stream
):
    server, _ = scripted_server(lambda _: engine.story("a"))
    payload = {**payload, "stream": stream}
    async with http.post(f"{server.url}/v1/completions", json=payload) as response:
        await response.read()
    async with http.get(f"{server.url}/metrics") as response:
        assert f"tgi_request_count {count}.0" in (await response.text()).splitlines()


@pytest.mark.parametrize("streamed", [False, True])
async def test_fields_that_are_not_done_are_refused(scripted_server, complete, streamed):
    # lm-eval would read log-probabilities of the prompt from this answer, and compute 0 for all.
    server, batcher = scripted_server()
    payload = {"prompt": "a", "echo": True, "logprobs": 1, "max_tokens": 1, "stream": streamed}
    answer = await complete(server, payload, 422)
    assert answer == {
        "error": "Input validation error: `echo` is not supported",
        "error_type": "validation",
    }
    assert batcher.jobs == []


@pytest.mark.parametrize("name", ["logprobs", "n"])
@pytest.mark.parametrize("value", [-1, True, "1", 1.5, 2**32])
async def test_values_that_are_no_counts_are_refused(scripted_server, http, name, value):
    server, _ = scripted_server()
    payload = {"prompt": "a", name: value}
    async with http.post(f"{server.url}/v1/completions", json=payload) as response:
        assert response.status == 422
        assert f"target type: {name}: Expected `int" in await response.text()


async def test_ignored_fields_change_nothing(scripted_server, complete, engine):
    server, batcher = scripted_server(lambda _: engine.story("a"), max_positions=100)
    plain = await complete(server, {"prompt": "né", "seed": 1})
    ignored = {"max_tokens": None, "logprobs": None, "n": None, "echo": False, "best_of": 1}
    ignored |= {"stream_options": {"include_usage": True}, "user": "me", "model": "m"}
    answer = await complete(server, {"prompt": "né", "seed": 1, **ignored})
    assert without_time(answer) == without_time(plain)
    first, second = (batcher.job(index).job for index in range(2))
    assert first == second
    assert first.max_new_tokens == 97


async def test_several_choices(scripted_server, complete, stream_completion, engine):
    server, batcher = scripted_server(lambda job: engine.story(str(job.sampling.seed)))
    payload = {"prompt": ["x", "yy"], "n": 2, "seed": 2**64 - 1}
    answer = await complete(server, payload)
    seeds = [str(2**64 - 1), "0"] * 2
    assert [(c["index"], c["text"]) for c in answer["choices"]] == [*enumerate(seeds)]
    assert [len(batcher.job(index).job.input_ids) for index in range(4)] == [1, 1, 2, 2]
    # Each prompt counts once.
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    chunks = await stream_completion(server, payload)
    choices = sorted((chunk["choices"][0] for chunk in chunks), key=lambda c: c["index"])
    assert [(c["index"], c["text"]) for c in choices] == [*enumerate(seeds)]
    assert all(chunk["usage"]["completion_tokens"] == 1 for chunk in chunks)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"prompt": ["a", "b"], "n": 3}, "`n` times the number of prompts must be <= 4. Given: 6"),
        ({"prompt": "a", "n": 2, "temperature": 0}, "you must use sampling when `n` is > 1"),
    ],
)
async def test_choices_that_are_refused(scripted_server, complete, payload, words, streamed):
    server, batcher = scripted_server()
    answer = await complete(server, {**payload, "stream": streamed}, 422)
    assert answer == {"error": f"Input validation error: {words}", "error_type": "validation"}
    assert batcher.jobs == []
