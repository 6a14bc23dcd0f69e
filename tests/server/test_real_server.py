"""The server with its own engine and the bundled model."""

import asyncio
import re

import pytest

PROMPT = "Once upon a time"


def asking(prompt=PROMPT, **parameters):
    return {"inputs": prompt, "parameters": parameters}


async def batch_size(http, server):
    async with http.get(f"{server.url}/metrics") as response:
        text = await response.text()
    sizes = re.findall(r"^tgi_(?:batch_current|queue)_size (.+)$", text, re.MULTILINE)
    return sum(map(float, sizes))


async def idle(http, server):
    async with asyncio.timeout(20):
        while await batch_size(http, server):  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.01)


async def generate(http, server, asked):
    async with http.post(f"{server.url}/generate", json=asked) as response:
        assert response.status == 200
        return await response.json()


async def test_two_dozen_streams_say_what_each_says_alone(local_server, http, data_of):
    asks = [
        asking(f"Tell me a story about {name}", max_new_tokens=40, seed=seed, **sampling)
        for seed in range(6)
        for name in ("a fox", "an owl")
        for sampling in ({}, {"temperature": 0.9, "top_p": 0.9})
    ]

    async def stream(asked):
        async with http.post(f"{local_server.url}/generate_stream", json=asked) as response:
            return data_of(await response.text())

    together = await asyncio.gather(*map(stream, asks))
    for asked, events in zip(asks[:4], together, strict=False):
        alone = await generate(http, local_server, asked)
        assert events[-1]["generated_text"] == alone["generated_text"]
    for events in together:
        assert [event["index"] for event in events] == list(range(1, len(events) + 1))
        said = "".join(e["token"]["text"] for e in events if not e["token"]["special"])
        assert said == events[-1]["generated_text"]


async def test_clients_that_go_away_leave_the_batch(local_server, http):
    responses = [
        await http.post(f"{local_server.url}/generate_stream", json=asking(do_sample=True))
        for _ in range(8)
    ]
    for response in responses:
        await response.content.readuntil(b"\n\n")
        response.close()
    await idle(http, local_server)


async def test_a_stream_and_a_plain_answer_agree(local_server, http, data_of):
    asked = asking(max_new_tokens=20, details=True, top_n_tokens=2, seed=1, temperature=0.8)
    plain = await generate(http, local_server, asked)
    async with http.post(f"{local_server.url}/generate_stream", json=asked) as response:
        events = data_of(await response.text())
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
    asked = asking(truncate=truncate, details=True, decoder_input_details=True, max_new_tokens=1)
    details = (await generate(http, local_server, asked))["details"]
    assert len(details["prefill"]) == truncate
    assert PROMPT.endswith("".join(token["text"] for token in details["prefill"]))


async def test_the_context_ends_a_generation(local_server, http):
    async with http.get(f"{local_server.url}/info") as response:
        info = await response.json()
    asked = asking("fox " * 2000, truncate=info["max_input_tokens"], details=True)
    answer = await generate(http, local_server, asked)
    assert answer["details"]["generated_tokens"] == 1
    assert answer["details"]["finish_reason"] in {"length", "eos_token"}


async def test_health(local_server, http):
    async with http.get(f"{local_server.url}/health") as response:
        assert response.status == 200
