import asyncio
import contextlib
import re
import socket

import pytest

from hfgen.server.engine.jobs import Failed, Generated, Started

REQUEST = {"inputs": "Once"}
OVERLOADED = {"error": "Model is overloaded", "error_type": "overloaded"}


async def read_metric(http, server, name):
    async with http.get(f"{server.url}/metrics") as response:
        match = re.search(rf"^{re.escape(name)} (.+)$", await response.text(), re.MULTILINE)
    return float(match[1]) if match else 0.0


async def wait_until_cancelled(job):
    assert await asyncio.to_thread(job.cancelled.wait, 20)


async def test_beyond_the_limit_the_answer_is_429(scripted_server, engine, http, parse_events):
    server, batcher = scripted_server(max_concurrent_requests=1)
    async with http.post(f"{server.url}/generate_stream", json=REQUEST) as first:
        batcher.job()
        for route in ("/generate", "/"):
            async with http.post(server.url + route, json=REQUEST) as response:
                assert response.status == 429
                assert response.headers["retry-after"] == "1"
                assert await response.json() == OVERLOADED
        async with http.post(f"{server.url}/generate_stream", json=REQUEST) as response:
            assert response.status == 200
            assert parse_events(await response.text()) == [OVERLOADED]
        payload = {"prompt": "a", "stream": True}
        async with http.post(f"{server.url}/v1/completions", json=payload) as response:
            assert parse_events(await response.text()) == [
                {"error": {"message": "Model is overloaded", "http_status_code": 422}},
                "[DONE]",
            ]
        # It comes before validation, as in TGI.
        async with http.post(f"{server.url}/generate", json={"inputs": ""}) as response:
            assert response.status == 429
        batcher.job().play(engine.story("a"))
        await first.read()
    batcher.script = lambda _: engine.story("a")
    async with http.post(f"{server.url}/generate", json=REQUEST) as response:
        assert response.status == 200
    assert await read_metric(http, server, 'tgi_request_failure{err="overloaded"}') == 5


async def test_a_refused_request_gives_its_permit_back(scripted_server, engine, http):
    server, _ = scripted_server(lambda _: engine.story("a"), max_concurrent_requests=1)
    for payload, status in ((REQUEST, 200), ({"inputs": ""}, 422), (REQUEST, 200)):
        async with http.post(f"{server.url}/generate", json=payload) as response:
            assert response.status == status


async def test_every_sequence_and_every_prompt_takes_a_permit(scripted_server, http):
    server, batcher = scripted_server(max_concurrent_requests=1)
    payload = {"inputs": "a", "parameters": {"best_of": 2, "do_sample": True}}
    async with http.post(f"{server.url}/generate", json=payload) as response:
        assert response.status == 429
    async with http.post(f"{server.url}/v1/completions", json={"prompt": ["a", "b"]}) as response:
        assert response.status == 429
    assert all(job.cancelled.is_set() for job in batcher.jobs)


@pytest.mark.parametrize(
    ("route", "payload"),
    [
        ("/generate_stream", REQUEST),
        ("/generate", REQUEST),
        ("/", {**REQUEST, "stream": True}),
        ("/v1/completions", {"prompt": "a", "stream": True}),
        ("/v1/completions", {"prompt": "a"}),
    ],
)
async def test_the_job_of_a_client_that_disconnects_is_cancelled(
    scripted_server, http, route, payload
):
    server, batcher = scripted_server()
    task = asyncio.create_task(http.post(server.url + route, json=payload))
    job = await asyncio.to_thread(batcher.job)
    assert await read_metric(http, server, "tgi_batch_current_size") == 1
    if route == "/generate" or not payload.get("stream", True) or payload == {"prompt": "a"}:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    else:
        (await task).close()
    await wait_until_cancelled(job)
    assert await read_metric(http, server, "tgi_batch_current_size") == 0
    assert await read_metric(http, server, 'tgi_request_failure{err="dropped"}') == 1


async def test_a_client_that_disconnects_in_mid_stream(scripted_server, engine, http):
    server, batcher = scripted_server()
    response = await http.post(f"{server.url}/generate_stream", json=REQUEST)
    job = batcher.job()
    job.play([Started(0.0), Generated(engine.token("a"))])
    assert await response.content.readuntil(b"\n\n")
    response.close()
    await wait_until_cancelled(job)


async def test_a_client_that_resets_while_tokens_come(scripted_server, engine, http):
    server, batcher = scripted_server()
    response = await http.post(f"{server.url}/generate_stream", json=REQUEST)
    job = batcher.job()
    job.play([Started(0.0)])
    sock = response.connection.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    response.close()
    while not job.cancelled.is_set():
        job.emit(Generated(engine.token("a")))
        await asyncio.sleep(0.001)


async def test_two_dozen_streams_side_by_side(scripted_server, engine, http, parse_events):
    server, batcher = scripted_server()

    async def stream(number):
        payload = {"inputs": "x" * (number + 1)}
        async with http.post(f"{server.url}/generate_stream", json=payload) as response:
            return parse_events(await response.text())

    tasks = [asyncio.create_task(stream(number)) for number in range(24)]
    await asyncio.to_thread(batcher.job, 23)

    def play_steps():
        for job in batcher.jobs:
            job.play([Started(0.0)])
        for step in range(50):
            for job in batcher.jobs:
                text = f"{len(job.job.input_ids)}:{step} "
                reason = "length" if step == 49 else None
                job.play([Generated(engine.token(text), finish_reason=reason)])

    await asyncio.to_thread(play_steps)
    for number, events in enumerate(await asyncio.gather(*tasks)):
        assert [event["index"] for event in events] == list(range(1, 51))
        text = "".join(event["token"]["text"] for event in events)
        assert text == "".join(f"{number + 1}:{step} " for step in range(50))
        assert events[-1]["generated_text"] == text


@pytest.mark.parametrize(
    ("route", "payload"),
    [("/generate_stream", REQUEST), ("/v1/completions", {"prompt": "a", "stream": True})],
)
async def test_a_silent_stream_carries_comments(scripted_server, engine, http, route, payload):
    server, batcher = scripted_server(keep_alive=0.02)
    async with http.post(server.url + route, json=payload) as response:
        for _ in range(3):
            assert await response.content.readuntil(b"\n\n") == b":\n\n"
        batcher.job().play(engine.story("a"))
        rest = (await response.read()).replace(b":\n\n", b"")
    assert rest.startswith(b"data: {")


async def test_an_answer_that_is_no_stream_has_no_comments(scripted_server, engine, http):
    server, batcher = scripted_server(keep_alive=0.01)
    task = asyncio.create_task(http.post(f"{server.url}/generate", json=REQUEST))
    job = await asyncio.to_thread(batcher.job)
    await asyncio.sleep(0.05)
    job.play(engine.story("a"))
    async with await task as response:
        assert await response.json() == {"generated_text": "a"}


async def test_a_stopping_server_ends_its_streams_with_an_error_event(
    scripted_server, http, parse_events
):
    server, batcher = scripted_server()
    async with http.post(f"{server.url}/generate_stream", json=REQUEST) as response:
        batcher.job().play([Started(0.0)])
        await asyncio.to_thread(server.stop)
        (event,) = parse_events(await response.text())
    assert event["error_type"] == "generation"
    assert batcher.stops == [0.0]


async def test_a_running_generation_may_finish_within_the_grace(
    scripted_server, engine, http, parse_events, wait_until_refused
):
    server, batcher = scripted_server()
    async with http.post(f"{server.url}/generate_stream", json=REQUEST) as response:
        job = batcher.job()
        stopping = asyncio.create_task(asyncio.to_thread(server.stop, grace=20))

        await wait_until_refused(response.url.port)
        assert batcher.stops == []
        job.play(engine.story("a", "b"))
        assert parse_events(await response.text())[-1]["generated_text"] == "ab"
        assert response.headers.get("connection") != "close"
        await stopping
    assert batcher.stops == [0.0]


async def test_failures_are_counted(scripted_server, http):
    server, _ = scripted_server(lambda _: [Failed("out of luck")])
    async with http.post(f"{server.url}/generate", json=REQUEST) as response:
        assert response.status == 424
    assert await read_metric(http, server, 'tgi_request_failure{err="generation"}') == 1
