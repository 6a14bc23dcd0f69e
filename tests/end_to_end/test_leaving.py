"""Leaving a stream early closes its connection, so that the server stops generating."""

import asyncio
import gc
import os
import subprocess
import sys
from itertools import islice

import pytest

import hfgen
from helpers.scripted_answers import answer, as_json, events, token
from helpers.sync_and_async import LeaveStream, Sync, reply
from hfgen.testing import Cut, Hang, Pause, event


@pytest.fixture(autouse=True)
def collect_garbage():
    """Collect garbage after each test, so that a leak fails the test that leaked."""
    yield
    gc.collect()


ENDLESS = events(token("a"), token("b"), token("c"), Hang())
STORY = events(token("a"), token("b"), token("c", last="abc"))
STREAMS = ["stream", "stream_tokens", "stream_bytes"]


@pytest.fixture
def sync_side():
    side = Sync()
    yield side
    side.finish()


@pytest.mark.parametrize("verb", STREAMS)
def test_leaving_by_break(side, serve, verb):
    server = serve(ENDLESS)
    stream = getattr(side, verb)(server)
    side.leave_by_break(stream, 1)
    side.wait_for(server.request().hung_up)
    assert "closed" in repr(stream)
    with pytest.raises(hfgen.StreamClosedError):
        side.next(stream)
    with pytest.raises(hfgen.StreamClosedError):
        side.collect(stream)


@pytest.mark.parametrize("make_iterator", [lambda stream: stream, aiter], ids=["stream", "loop"])
def test_items_of_an_async_stream_are_awaited_in_every_way(serve, make_iterator):
    server = serve(events(*map(token, "abcd"), Hang()))

    async def main():
        async with hfgen.AsyncClient(api_url=server.url) as client:
            items = make_iterator(await client.stream_tokens("Once"))
            assert await anext(items) == "a"
            assert await asyncio.wait_for(anext(items), 10) == "b"
            assert await asyncio.create_task(items.__anext__()) == "c"
            assert await asyncio.gather(anext(items, None)) == ["d"]
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(items.__anext__(), 0.1)
            with pytest.raises(hfgen.StreamClosedError):
                await anext(items)

    asyncio.run(main())
    assert server.request().hung_up.wait(10)


@pytest.mark.parametrize("verb", STREAMS)
def test_leaving_by_an_exception(side, serve, verb):
    server = serve(ENDLESS)
    stream = getattr(side, verb)(server)
    with pytest.raises(LeaveStream):
        side.leave_by_exception(stream)
    side.wait_for(server.request().hung_up)
    with pytest.raises(hfgen.StreamClosedError):
        side.next(stream)


def test_leaving_by_the_end_of_a_with_block(side, serve):
    server = serve(ENDLESS)
    stream = side.stream_tokens(server)
    side.leave_by_context(stream)
    side.wait_for(server.request().hung_up)
    with pytest.raises(hfgen.StreamClosedError):
        side.next(stream)


def test_leaving_by_close_which_may_be_repeated(side, serve):
    server = serve(ENDLESS)
    stream = side.stream_tokens(server)
    assert side.next(stream) == "a"
    side.close(stream)
    side.close(stream)
    side.wait_for(server.request().hung_up)
    with pytest.raises(hfgen.StreamClosedError):
        side.next(stream)
    with pytest.raises(hfgen.StreamClosedError):
        side.collect(stream)


@pytest.mark.parametrize("count", [0, 1])
def test_leaving_by_dropping_it(side, serve, count):
    server = serve(ENDLESS)
    stream = side.stream_tokens(server)
    for _ in range(count):
        side.next(stream)
    del stream
    side.wait_for(server.request().hung_up)


@pytest.mark.parametrize(
    "failed_answer",
    [answer(Cut(), framing="raw"), as_json({"error": "busy"}, 503, retry_after="0"), events(Cut())],
    ids=["before the headers", "by its status", "before the first token"],
)
def test_leaving_by_dropping_it_after_an_attempt_that_failed(side, serve, failed_answer):
    server = serve(failed_answer, ENDLESS)

    def use():
        stream = side.stream_tokens(server, retry=hfgen.Retry(backoff=0.0))
        assert side.next(stream) == "a"

    # The error must not refer to this frame: it would keep the stream until garbage is collected.
    gc.disable()
    try:
        use()
        side.wait_for(server.request(1).hung_up)
    finally:
        gc.enable()


def test_leaving_by_dropping_it_in_a_cycle(side, serve):
    server = serve(ENDLESS)
    container = {"stream": side.stream_tokens(server)}
    container["self"] = container
    side.next(container["stream"])
    del container
    gc.collect()
    side.wait_for(server.request().hung_up)


def test_leaving_by_dropping_it_in_another_thread(side, serve):
    server = serve(ENDLESS)
    container = [side.stream_tokens(server)]
    side.next(container[0])
    side.call(asyncio.to_thread, container.clear) if side.name == "async" else container.clear()
    side.wait_for(server.request().hung_up)


def test_leaving_by_an_error_in_it(side, serve):
    server = serve(events(token("a"), b"data: nonsense\n\n", Hang()))
    stream = side.stream_tokens(server)
    with pytest.raises(hfgen.MalformedStreamError):
        side.collect(stream)
    side.wait_for(server.request().hung_up)


def test_a_stream_is_closed_after_islice(sync_side, serve):
    server = serve(ENDLESS)
    stream = sync_side.stream_tokens(server)
    assert list(islice(stream, 2)) == ["a", "b"]
    with pytest.raises(hfgen.StreamClosedError):
        next(stream)
    with pytest.raises(hfgen.StreamClosedError):
        list(stream)
    assert server.request().hung_up.wait(10)


def test_a_loop_continues_after_next(side, serve):
    stream = side.stream_tokens(serve(STORY))
    assert side.next(stream) == "a"
    assert side.collect(stream) == ["b", "c"]


def test_a_stream_that_has_ended_stays_ended(side, serve):
    stream = side.stream_tokens(serve(STORY))
    assert side.collect(stream) == ["a", "b", "c"]
    assert "ended" in repr(stream)
    side.close(stream)
    assert side.collect(stream) == []
    with pytest.raises(StopIteration):
        side.next(stream)


def test_a_stream_read_by_next_ends_too(side, serve):
    server = serve(STORY)
    stream = side.stream_tokens(server)
    assert [side.next(stream) for _ in range(3)] == ["a", "b", "c"]
    with pytest.raises(StopIteration):
        side.next(stream)
    side.close(stream)
    # It was read to its end: the connection serves the next one.
    assert side.collect(side.stream_tokens(server)) == ["a", "b", "c"]
    assert server.connections == 1


def test_leaving_by_cancelling_the_task(serve):
    server = serve(ENDLESS)

    async def read(client, texts):
        async for text in await client.stream_tokens("x"):
            texts.append(text)

    async def main():
        texts = []
        async with hfgen.AsyncClient(api_url=server.url) as client:
            task = asyncio.create_task(read(client, texts))
            while len(texts) < 3:  # noqa: ASYNC110 - the list is all that the reader shows
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(server.request().hung_up.wait, 10)

    asyncio.run(main())


@pytest.mark.parametrize("verb", ["run", *STREAMS])
def test_leaving_by_cancelling_the_call(serve, verb):
    server = serve(events(Hang()) if verb == "run" else make_silent_answer())

    async def main():
        async with hfgen.AsyncClient(api_url=server.url) as client:
            task = asyncio.create_task(getattr(client, verb)("x"))
            await asyncio.to_thread(server.request)
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(server.request().hung_up.wait, 10)

    asyncio.run(main())


def make_silent_answer():
    """Return an answer without even headers."""
    return answer(Hang(), framing="raw")


async def drain(stream):
    async for _ in stream:
        pass


def test_leaving_by_a_timeout_around_the_read(serve):
    server = serve(ENDLESS)

    async def main():
        async with hfgen.AsyncClient(api_url=server.url) as client:
            stream = await client.stream_tokens("x")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(drain(stream), 0.2)
            with pytest.raises(hfgen.StreamClosedError):
                await anext(stream)
            assert await asyncio.to_thread(server.request().hung_up.wait, 10)

    asyncio.run(main())


@pytest.mark.parametrize("closes_loop", [True, False])
def test_a_stream_may_outlive_its_loop(serve, closes_loop):
    server = serve(ENDLESS)
    streams = []

    async def main():
        streams.append(await hfgen.AsyncHuggingFaceTextGeneration.stream("x", api_url=server.url))
        if closes_loop:
            await anext(streams[0])

    asyncio.run(main())
    assert server.request().hung_up.wait(10)
    streams.clear()
    gc.collect()


def test_an_interrupt_does_not_make_a_part_look_whole(side):
    def pieces():
        yield event(token("a"))
        raise KeyboardInterrupt

    client = side.client(fetch=side.fetch(lambda _: reply(pieces())), api_url="http://localhost")
    stream = side.call(client.stream_tokens, "x")
    assert side.next(stream) == "a"
    with pytest.raises(KeyboardInterrupt):
        side.next(stream)
    with pytest.raises(hfgen.StreamClosedError):
        side.next(stream)


def test_leaving_one_stream_leaves_the_others_alone(side, serve):
    """A body of known length frees its connection before its last piece is handed out."""
    body = event(token("a")), event(token("b", last="ab"))
    short = events(*body, framing="length")
    server = serve(short, STORY)
    first = side.stream_bytes(server)
    read = b""
    while len(read) < len(b"".join(body)):
        read += side.next(first)
    second = side.stream_tokens(server)
    assert side.next(second) == "a"
    side.close(first)
    assert side.collect(second) == ["b", "c"]


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="counts open files")  # noqa: PTH110
def test_nothing_leaks_from_many_streams_left_early(side, serve):
    server = serve(ENDLESS)
    side.leave_by_break(side.stream_tokens(server), 1)
    open_before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(200):
        side.leave_by_break(side.stream_tokens(server), 1)
    for request in server.requests:
        side.wait_for(request.hung_up)
    gc.collect()
    # The server's own end of each closes with a delay.
    for _ in range(100):
        if len(os.listdir("/proc/self/fd")) <= open_before + 5:  # noqa: PTH208
            break
        side.sleep(0.05)
    assert len(os.listdir("/proc/self/fd")) <= open_before + 5  # noqa: PTH208
    assert server.connections == 201


def test_the_connection_of_a_read_stream_is_used_again(side, serve):
    server = serve(STORY, as_json({"generated_text": "x"}), STORY)
    assert side.collect(side.stream_tokens(server)) == ["a", "b", "c"]
    assert side.run(server)
    assert side.collect(side.stream_tokens(server)) == ["a", "b", "c"]
    assert len(server.requests) == 3
    assert server.connections == 1


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_child_that_drops_a_stream_does_not_cut_its_parents(serve):
    server = serve(events(token("a"), Pause(0.5), token("b", last="ab")))
    script = f"""
import os, hfgen
client = hfgen.Client(api_url={server.url!r})
stream = client.stream_tokens("x")
assert next(stream) == "a"
child = os.fork()
if not child:
    del stream
    os._exit(0)
os.waitpid(child, 0)
assert list(stream) == ["b"], "the child cut it"
client.close()
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=60)
