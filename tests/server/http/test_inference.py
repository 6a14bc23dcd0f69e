import asyncio
import contextlib
import re
import socket

import pytest

from hfgen.server.engine.jobs import Failed, Generated, Started

ASKED = {"inputs": "Once"}
OVERLOADED = {"error": "Model is overloaded", "error_type": "overloaded"}


async def metric(http, server, name):
    async with http.get(f"{server.url}/metrics") as response:
        match = re.search(rf"^{re.escape(name)} (.+)$", await response.text(), re.MULTILINE)
    return float(match[1]) if match else 0.0


async def cancelled(job):
    assert await asyncio.to_thread(job.cancelled.wait, 20)


async def test_past_the_limit_there_is_429(scripted_server, engine, http, data_of):
    server, batcher = scripted_server(max_concurrent_requests=1)
    async with http.post(f"{server.url}/generate_stream", json=ASKED) as first:
        batcher.job()
        for route in ("/generate", "/"):
            async with http.post(server.url + route, json=ASKED) as response:
                assert response.status == 429
                assert await response.json() == OVERLOADED
        async with http.post(f"{server.url}/generate_stream", json=ASKED) as response:
            assert response.status == 200
            assert data_of(await response.text()) == [OVERLOADED]
        asked = {"prompt": "a", "stream": True}
        async with http.post(f"{server.url}/v1/completions", json=asked) as response:
            assert data_of(await response.text()) == [
                {"error": {"message": "Model is overloaded", "http_status_code": 422}},
                "[DONE]",
            ]
        # It comes before validation, as in TGI.
        async with http.post(f"{server.url}/generate", json={"inputs": ""}) as response:
            assert response.status == 429
        batcher.job().play(engine.story("a"))
        await first.read()
    batcher.script = lambda _: engine.story("a")
    async with http.post(f"{server.url}/generate", json=ASKED) as response:
        assert response.status == 200
    assert await metric(http, server, 'tgi_request_failure{err="overloaded"}') == 5


async def test_a_refused_request_gives_its_permit_back(scripted_server, engine, http):
    server, _ = scripted_server(lambda _: engine.story("a"), max_concurrent_requests=1)
    for asked, status in ((ASKED, 200), ({"inputs": ""}, 422), (ASKED, 200)):
        async with http.post(f"{server.url}/generate", json=asked) as response:
            assert response.status == status


async def test_every_sequence_and_every_prompt_takes_a_permit(scripted_server, http):
    server, batcher = scripted_server(max_concurrent_requests=1)
    asked = {"inputs": "a", "parameters": {"best_of": 2, "do_sample": True}}
    async with http.post(f"{server.url}/generate", json=asked) as response:
        assert response.status == 429
    async with http.post(f"{server.url}/v1/completions", json={"prompt": ["a", "b"]}) as response:
        assert response.status == 429
    assert all(job.cancelled.is_set() for job in batcher.jobs)


@pytest.mark.parametrize(
    ("route", "asked"),
    [
        ("/generate_stream", ASKED),
        ("/generate", ASKED),
        ("/", {**ASKED, "stream": True}),
        ("/v1/completions", {"prompt": "a", "stream": True}),
        ("/v1/completions", {"prompt": "a"}),
    ],
)
async def test_a_client_that_goes_away_takes_its_job_with_it(scripted_server, http, route, asked):
    server, batcher = scripted_server()
    task = asyncio.create_task(http.post(server.url + route, json=asked))
    job = await asyncio.to_thread(batcher.job)
    assert await metric(http, server, "tgi_batch_current_size") == 1
    if route == "/generate" or not asked.get("stream", True) or asked == {"prompt": "a"}:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    else:
        (await task).close()
    await cancelled(job)
    assert await metric(http, server, "tgi_batch_current_size") == 0
    assert await metric(http, server, 'tgi_request_failure{err="dropped"}') == 1


async def test_a_client_that_goes_away_in_mid_stream(scripted_server, engine, http):
    server, batcher = scripted_server()
    response = await http.post(f"{server.url}/generate_stream", json=ASKED)
    job = batcher.job()
    job.play([Started(0.0), Generated(engine.token("a"))])
    assert await response.content.readuntil(b"\n\n")
    response.close()
    await cancelled(job)


async def test_a_client_that_resets_while_tokens_come(scripted_server, engine, http):
    server, batcher = scripted_server()
    response = await http.post(f"{server.url}/generate_stream", json=ASKED)
    job = batcher.job()
    job.play([Started(0.0)])
    sock = response.connection.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    response.close()
    while not job.cancelled.is_set():
        job.emit(Generated(engine.token("a")))
        await asyncio.sleep(0.001)


async def test_two_dozen_streams_side_by_side(scripted_server, engine, http, data_of):
    server, batcher = scripted_server()

    async def stream(number):
        asked = {"inputs": "x" * (number + 1)}
        async with http.post(f"{server.url}/generate_stream", json=asked) as response:
            return data_of(await response.text())

    tasks = [asyncio.create_task(stream(number)) for number in range(24)]
    await asyncio.to_thread(batcher.job, 23)

    def step_by_step():
        for job in batcher.jobs:
            job.play([Started(0.0)])
        for step in range(50):
            for job in batcher.jobs:
                text = f"{len(job.job.input_ids)}:{step} "
                reason = "length" if step == 49 else None
                job.play([Generated(engine.token(text), finish_reason=reason)])

    await asyncio.to_thread(step_by_step)
    for number, events in enumerate(await asyncio.gather(*tasks)):
        assert [event["index"] for event in events] == list(range(1, 51))
        text = "".join(event["token"]["text"] for event in events)
        assert text == "".join(f"{number + 1}:{step} " for step in range(50))
        assert events[-1]["generated_text"] == text


@pytest.mark.parametrize(
    ("route", "asked"),
    [("/generate_stream", ASKED), ("/v1/completions", {"prompt": "a", "stream": True})],
)
async def test_a_silent_stream_carries_comments(scripted_server, engine, http, route, asked):
    server, batcher = scripted_server(keep_alive=0.02)
    async with http.post(server.url + route, json=asked) as response:
        for _ in range(3):
            assert await response.content.readuntil(b"\n\n") == b":\n\n"
        batcher.job().play(engine.story("a"))
        rest = (await response.read()).replace(b":\n\n", b"")
    assert rest.startswith(b"data: {")


async def test_an_answer_that_is_no_stream_waits_in_silence(scripted_server, engine, http):
    server, batcher = scripted_server(keep_alive=0.01)
    task = asyncio.create_task(http.post(f"{server.url}/generate", json=ASKED))
    job = await asyncio.to_thread(batcher.job)
    await asyncio.sleep(0.05)
    job.play(engine.story("a"))
    async with await task as response:
        assert await response.json() == {"generated_text": "a"}


async def test_a_stopping_server_ends_its_streams_with_words(scripted_server, http, data_of):
    server, batcher = scripted_server()
    async with http.post(f"{server.url}/generate_stream", json=ASKED) as response:
        batcher.job().play([Started(0.0)])
        await asyncio.to_thread(server.stop)
        (event,) = data_of(await response.text())
    assert event["error_type"] == "generation"
    assert batcher.stops == [0.0]


async def test_a_running_generation_may_finish_within_the_grace(
    scripted_server, engine, http, data_of, refuses
):
    server, batcher = scripted_server()
    async with http.post(f"{server.url}/generate_stream", json=ASKED) as response:
        job = batcher.job()
        stopping = asyncio.create_task(asyncio.to_thread(server.stop, grace=20))

        await refuses(response.url.port)
        assert batcher.stops == []
        job.play(engine.story("a", "b"))
        assert data_of(await response.text())[-1]["generated_text"] == "ab"
        assert response.headers.get("connection") != "close"
        await stopping
    assert batcher.stops == [0.0]


async def test_failures_are_counted(scripted_server, http):
    server, _ = scripted_server(lambda _: [Failed("out of luck")])
    async with http.post(f"{server.url}/generate", json=ASKED) as response:
        assert response.status == 424
    assert await metric(http, server, 'tgi_request_failure{err="generation"}') == 1
