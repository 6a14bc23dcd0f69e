"""The server with its own engine and the bundled model."""

import asyncio
import dataclasses
import json
import re
import threading
import time
from types import SimpleNamespace

import pytest

from hfgen.server import LocalServer, _local_server
from hfgen.server.engine.batcher import Batcher

PROMPT = "Once upon a time"


def make_payload(prompt=PROMPT, **parameters):
    return {"inputs": prompt, "parameters": parameters}


async def metrics(http, server):
    async with http.get(f"{server.url}/metrics") as response:
        text = await response.text()
    return dict(re.findall(r"^(tgi_\S+) (.+)$", text, re.MULTILINE))


async def wait_for_metrics(http, server, **expected):
    """Poll the metrics until they have these values."""
    async with asyncio.timeout(20):
        while True:
            found = await metrics(http, server)
            if all(found.get(name) == value for name, value in expected.items()):
                return found
            await asyncio.sleep(0.01)


async def generate(http, server, payload):
    async with http.post(f"{server.url}/generate", json=payload) as response:
        assert response.status == 200
        return await response.json()


async def test_two_dozen_streams_have_the_texts_that_each_has_alone(
    local_server, http, parse_events
):
    payloads = [
        make_payload(f"Tell me a story about {name}", max_new_tokens=40, seed=seed, **sampling)
        for seed in range(6)
        for name in ("a fox", "an owl")
        for sampling in ({}, {"temperature": 0.9, "top_p": 0.9})
    ]

    async def stream(payload):
        async with http.post(f"{local_server.url}/generate_stream", json=payload) as response:
            return parse_events(await response.text())

    together = await asyncio.gather(*map(stream, payloads))
    for payload, events in zip(payloads[:4], together, strict=False):
        alone = await generate(http, local_server, payload)
        assert events[-1]["generated_text"] == alone["generated_text"]
    for events in together:
        assert [event["index"] for event in events] == list(range(1, len(events) + 1))
        text = "".join(e["token"]["text"] for e in events if not e["token"]["special"])
        assert text == events[-1]["generated_text"]


@pytest.fixture
def gated_server(monkeypatch):
    """A server whose stories end with the context alone, and whose engine a test can hold up."""
    load_real, gate, steps = _local_server.load_engine, threading.Event(), []

    def load(options):
        model, _ = load_real(options)
        step = model.engine.step

        def wait_and_step(*args):
            assert gate.wait(20)
            steps.append(args)
            time.sleep(0.002)
            return step(*args)

        monkeypatch.setattr(model.engine, "step", wait_and_step)
        model = dataclasses.replace(model, eos_ids=frozenset())
        return model, Batcher(model)

    monkeypatch.setattr(_local_server, "load_engine", load)
    gate.set()
    with LocalServer() as server:
        yield SimpleNamespace(url=server.url, gate=gate, steps=steps)
        gate.set()


async def test_jobs_of_disconnected_clients_leave_the_batch(gated_server, http):
    responses = [
        await http.post(f"{gated_server.url}/generate_stream", json=make_payload(do_sample=True))
        for _ in range(8)
    ]
    for response in responses:
        await response.content.readuntil(b"\n\n")
    gated_server.gate.clear()
    for response in responses:
        response.close()
    await wait_for_metrics(http, gated_server, **{'tgi_request_failure{err="dropped"}': "8.0"})
    # All eight are cancelled. The engine may be in the middle of a step for them, or about to take
    # one more, and takes no other: they had hundreds to go.
    steps_before = len(gated_server.steps)
    gated_server.gate.set()
    found = await wait_for_metrics(
        http, gated_server, tgi_batch_current_size="0.0", tgi_queue_size="0.0"
    )
    assert len(gated_server.steps) - steps_before <= 1
    assert found["tgi_request_success"] == "0.0"


async def test_a_stream_and_a_plain_answer_agree(local_server, http, parse_events):
    payload = make_payload(max_new_tokens=20, details=True, top_n_tokens=2, seed=1, temperature=0.8)
    plain = await generate(http, local_server, payload)
    async with http.post(f"{local_server.url}/generate_stream", json=payload) as response:
        events = parse_events(await response.text())
    details = plain["details"]
    assert [event["token"] for event in events] == details["tokens"]
    assert [event["top_tokens"] for event in events] == details["top_tokens"]
    assert events[-1]["generated_text"] == plain["generated_text"]
    last = events[-1]["details"]
    for name in ("finish_reason", "generated_tokens", "seed"):
        assert last[name] == details[name]


async def test_tokenize_covers_the_text(local_server, http):
    text = "Once upon a time, there was a fox — né Zoë 🦊."
    async with http.post(f"{local_server.url}/tokenize", json={"inputs": text}) as response:
        tokens = await response.json()
    data = text.encode()
    assert max(token["stop"] for token in tokens) == len(data)
    assert all(data[t["start"] : t["stop"]].decode() == t["text"] for t in tokens)


@pytest.mark.parametrize("truncate", [1, 3])
async def test_the_prompt_is_truncated(local_server, http, truncate):
    payload = make_payload(
        truncate=truncate, details=True, decoder_input_details=True, max_new_tokens=1
    )
    details = (await generate(http, local_server, payload))["details"]
    assert len(details["prefill"]) == truncate
    assert PROMPT.endswith("".join(token["text"] for token in details["prefill"]))


async def test_the_context_ends_a_generation(local_server, http):
    async with http.get(f"{local_server.url}/info") as response:
        info = await response.json()
    payload = make_payload("fox " * 2000, truncate=info["max_input_tokens"], details=True)
    answer = await generate(http, local_server, payload)
    assert answer["details"]["generated_tokens"] == 1
    assert answer["details"]["finish_reason"] in {"length", "eos_token"}


async def test_health(local_server, http):
    async with http.get(f"{local_server.url}/health") as response:
        assert response.status == 200


@pytest.mark.parametrize("route", ["/", "/generate", "/generate_stream", "/v1/completions"])
async def test_a_stop_string_inside_a_token_ends_the_text(local_server, http, parse_events, route):
    payload = make_payload(max_new_tokens=20, details=True, return_full_text=False)
    whole = await generate(http, local_server, payload)
    texts = [token["text"] for token in whole["details"]["tokens"]]
    index = next(i for i, text in enumerate(texts) if i > 2 and len(text) > 3)
    stop = texts[index - 1] + texts[index][:-1]
    expected = whole["generated_text"][: whole["generated_text"].index(stop) + len(stop)]
    payload["parameters"]["stop"] = ["never seen", stop]
    if route == "/v1/completions":
        payload = {"prompt": PROMPT, "max_tokens": 20, "temperature": 0, "stop": [stop]}
    async with http.post(local_server.url + route, json=payload) as response:
        body = await response.text()
    if route == "/generate_stream":
        events = parse_events(body)
        assert "".join(event["token"]["text"] for event in events) == expected
        assert events[-1]["generated_text"] == expected
        assert events[-1]["details"]["finish_reason"] == "stop_sequence"
    elif route == "/v1/completions":
        (choice,) = json.loads(body)["choices"]
        assert (choice["text"], choice["finish_reason"]) == (expected, "stop_sequence")
    else:
        answer = json.loads(body)
        answer = answer[0] if route == "/" else answer
        assert answer["generated_text"] == expected
        assert answer["details"]["finish_reason"] == "stop_sequence"
        assert "".join(t["text"] for t in answer["details"]["tokens"]) == expected
