"""`signal`: an abort wakes whatever is waiting, and closes the connection."""

import asyncio
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest

import hfgen
from helpers.scripted_answers import answer, as_json, events, token
from helpers.sync_and_async import reply
from hfgen import AbortController, AbortError
from hfgen.testing import Hang

VERBS = ["run", "stream", "stream_tokens", "stream_bytes"]
STREAMS = VERBS[1:]
SILENT = answer(Hang(), framing="raw")


@contextmanager
def within_the_timeouts():
    """Check that the block takes much less than the timeouts in it."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < 8


@pytest.mark.parametrize("verb", VERBS)
def test_after_an_abort_before_the_call_nothing_is_sent(side, serve, verb):
    server = serve(as_json({"generated_text": "a"}))
    controller = AbortController()
    controller.abort("no need")
    with pytest.raises(AbortError, match="no need") as caught:
        getattr(side, verb)(server, signal=controller.signal)
    assert caught.value.reason == "no need"
    assert server.requests == []


@pytest.mark.parametrize("verb", VERBS)
def test_abort_while_waiting_for_the_headers(side, serve, verb):
    server = serve(SILENT)
    controller = AbortController()
    thread = threading.Thread(target=lambda: (server.request(), controller.abort()))
    thread.start()
    with within_the_timeouts(), pytest.raises(AbortError) as caught:
        getattr(side, verb)(server, signal=controller.signal, timeout=60)
    thread.join()
    assert caught.value.text == ""
    side.wait_for(server.request().hung_up)
    assert len(server.requests) == 1


def test_abort_while_waiting_for_the_headers_on_a_kept_connection(side, serve):
    server = serve(as_json({"generated_text": "a"}), SILENT)
    controller = AbortController()
    side.run(server, signal=controller.signal)
    thread = threading.Thread(target=lambda: (server.request(1), controller.abort()))
    thread.start()
    with within_the_timeouts(), pytest.raises(AbortError):
        side.run(server, signal=controller.signal, timeout=60)
    thread.join()
    assert server.connections == 1
    side.wait_for(server.request(1).hung_up)


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_abort_while_reading_a_whole_answer(side, serve, framing):
    server = serve(answer(b'{"generated_', Hang(), b'text": "x"}', framing=framing))
    controller = AbortController()
    aborter = threading.Thread(
        target=lambda: (server.request(), time.sleep(0.2), controller.abort("enough"))
    )
    aborter.start()
    with within_the_timeouts(), pytest.raises(AbortError, match="enough"):
        side.run(server, signal=controller.signal, timeout=60)
    aborter.join()
    side.wait_for(server.request().hung_up)


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
@pytest.mark.parametrize("verb", ["stream", "stream_tokens", "stream_bytes"])
def test_abort_while_reading_a_stream(side, serve, verb, framing):
    server = serve(events(token("Once"), token(" upon"), Hang(), b"more", framing=framing))
    controller = AbortController()
    stream = getattr(side, verb)(server, signal=controller.signal, timeout=60)
    side.next(stream)
    thread = threading.Timer(0.3, controller.abort, ["enough"])
    thread.start()
    with within_the_timeouts(), pytest.raises(AbortError, match="enough") as caught:
        side.collect(stream)
    thread.join()
    assert caught.value.reason == "enough"
    assert caught.value.text == ("" if verb == "stream_bytes" else "Once upon")
    side.wait_for(server.request().hung_up)


def test_abort_between_two_tokens(side, serve):
    server = serve(events(token("a"), token("b"), token("c", last="abc")))
    controller = AbortController()
    stream = side.stream_tokens(server, signal=controller.signal)
    assert side.next(stream) == "a"
    controller.abort()
    with pytest.raises(AbortError):
        side.next(stream)
    with pytest.raises((StopIteration, hfgen.HfgenError)):
        side.next(stream)


@pytest.mark.parametrize("verb", STREAMS)
def test_abort_before_the_first_token_that_is_also_the_last(side, serve, verb):
    server = serve(events(token("a", last="a")))
    controller = AbortController()
    stream = getattr(side, verb)(server, signal=controller.signal)
    controller.abort()
    with pytest.raises(AbortError) as caught:
        side.collect(stream)
    assert caught.value.text == ""


def test_an_abort_while_no_read_waits_closes_the_connection(side, serve):
    server = serve(events(token("a"), Hang()))
    controller = AbortController()
    stream = side.stream_tokens(server, signal=controller.signal)
    assert side.next(stream) == "a"
    controller.abort()
    side.wait_for(server.request().hung_up)
    with pytest.raises(AbortError) as caught:
        side.next(stream)
    assert caught.value.text == "a"


def test_an_abort_after_the_end_does_nothing(side, serve):
    server = serve(events(token("a", last="a")))
    controller = AbortController()
    stream = side.stream_tokens(server, signal=controller.signal)
    assert side.collect(stream) == ["a"]
    controller.abort()
    assert side.collect(stream) == []
    # The connection is free for other calls by now.
    assert side.collect(side.stream_tokens(server)) == ["a"]
    assert server.connections == 1


def test_abort_while_waiting_to_try_again(side, serve):
    server = serve(as_json({"error": "busy"}, 503, retry_after="25"))
    controller = AbortController()
    thread = threading.Thread(
        target=lambda: (server.request(), time.sleep(0.2), controller.abort())
    )
    thread.start()
    with within_the_timeouts(), pytest.raises(AbortError):
        side.run(server, signal=controller.signal)
    thread.join()
    assert len(server.requests) == 1


@pytest.fixture
def deaf_url():
    """A URL where connecting takes for ever: no connection is accepted, and the queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        for filler in fillers:
            filler.close()


def test_abort_while_connecting(side, deaf_url):
    controller = AbortController()
    thread = threading.Timer(0.3, controller.abort)
    thread.start()
    # Connecting itself would take ten seconds, three times.
    with within_the_timeouts(), pytest.raises(AbortError):
        side.run(None, api_url=deaf_url, signal=controller.signal)
    thread.join()


def test_timeout_while_connecting(side, deaf_url):
    with pytest.raises(hfgen.TimeoutError) as caught:
        side.run(None, api_url=deaf_url, timeout=hfgen.Timeout(connect=0.3), max_retries=0)
    assert caught.value.phase == "connect"


@pytest.mark.parametrize("verb", VERBS)
def test_a_server_that_never_answers(side, serve, verb):
    server = serve(SILENT)
    with within_the_timeouts(), pytest.raises(hfgen.TimeoutError) as caught:
        getattr(side, verb)(server, timeout=0.3)
    assert caught.value.phase == "first_token"
    assert len(server.requests) == 1
    side.wait_for(server.request().hung_up)


def test_one_signal_for_a_client_and_many_calls(side, serve):
    server = serve(as_json({"generated_text": "a"}), SILENT)
    controller = AbortController()
    client = side.client(api_url=server.url, signal=controller.signal)
    for _ in range(2):
        if len(server.requests) == 1:
            threading.Thread(target=lambda: (server.request(1), controller.abort())).start()
            with within_the_timeouts(), pytest.raises(AbortError):
                side.call(client.run, "x")
        else:
            side.call(client.run, "x")
    with pytest.raises(AbortError):
        side.call(client.run, "x")
    # Ended calls have unsubscribed from the signal.
    assert not controller.signal._listeners


def test_listeners_do_not_pile_up(side, serve):
    server = serve(events(token("a"), token("b", last="ab")))
    signal = AbortController().signal
    for _ in range(5):
        side.run(server, signal=signal)
        side.collect(side.stream_tokens(server, signal=signal))
        side.leave_by_break(side.stream_tokens(server, signal=signal), 1)
        stream = side.stream_tokens(server, signal=signal)
        del stream
    assert not signal._listeners


@pytest.mark.parametrize("verb", VERBS)
def test_the_response_of_a_fetch_that_aborts_is_closed(side, verb):
    controller, closed = AbortController(), threading.Event()

    def abort_and_answer(request):
        controller.abort()
        return reply(b'{"generated_text": "a"}', close=closed.set)

    client = side.client(
        fetch=side.fetch(abort_and_answer), signal=controller.signal, api_url="http://h"
    )

    def read():
        result = side.call(getattr(client, verb), "x")
        if verb != "run":
            side.collect(result)

    with pytest.raises(AbortError):
        read()
    side.wait_for(closed)


def test_after_an_abort_no_further_item_of_a_fetch_is_read(side):
    controller, resumed = AbortController(), threading.Event()

    def pieces():
        yield b'data: {"token": {"text": "a"}}\n\n'
        resumed.set()
        yield b'data: {"token": {"text": "b"}, "generated_text": "ab"}\n\n'

    client = side.client(fetch=side.fetch(lambda _: reply(pieces())), api_url="http://h")
    stream = side.call(client.stream_tokens, "x", signal=controller.signal)
    assert side.next(stream) == "a"
    controller.abort()
    with pytest.raises(AbortError):
        side.next(stream)
    # The next piece of the body may block, so it is not read.
    assert not resumed.is_set()


def test_a_fetch_gets_the_signal(side):
    signal, requests = AbortController().signal, []
    fetch = side.fetch(lambda request: requests.append(request) or reply(b'{"generated_text": ""}'))
    side.call(side.client(fetch=fetch, api_url="http://h").run, "x", signal=signal)
    assert requests[0].signal is not None
    assert not signal.aborted


def test_an_error_of_a_fetch_after_an_abort_becomes_an_abort_error(side):
    controller = AbortController()

    def abort_and_fail(request):
        controller.abort("enough")
        raise ValueError("of its own")

    client = side.client(
        fetch=side.fetch(abort_and_fail), api_url="http://h", signal=controller.signal
    )
    with pytest.raises(AbortError, match="enough") as caught:
        side.call(client.run, "x")
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_close_that_fails_does_not_keep_the_abort_from_others(side, serve):
    def close():
        raise RuntimeError("of its own")

    server = serve(events(token("a"), Hang()))
    controller = AbortController()
    controller.signal.subscribe(close)
    stream = side.stream_tokens(server, signal=controller.signal)
    with suppress(RuntimeError):
        controller.abort()
    side.wait_for(server.request().hung_up)
    with pytest.raises(AbortError):
        side.collect(stream)


class TestAsyncio:
    def test_an_abort_is_no_cancellation(self, serve):
        server = serve(events(token("a"), Hang()))
        controller = AbortController()

        async def main():
            async with hfgen.AsyncClient(api_url=server.url, signal=controller.signal) as client:
                stream = await client.stream_tokens("x")
                asyncio.get_running_loop().call_later(0.2, controller.abort)
                with pytest.raises(AbortError):
                    async for _ in stream:
                        pass
                task = asyncio.current_task()
                assert task.cancelling() == 0
                await asyncio.sleep(0)  # a cancellation that is still pending would be raised here

        asyncio.run(main())

    def test_a_cancellation_beside_an_abort_stays_one(self, serve):
        server = serve(events(token("a"), Hang()))
        controller = AbortController()

        async def read():
            async with hfgen.AsyncClient(api_url=server.url, signal=controller.signal) as client:
                async for _ in await client.stream_tokens("x"):
                    pass

        async def main():
            task = asyncio.create_task(read())
            await asyncio.to_thread(server.request)
            await asyncio.sleep(0.1)
            controller.abort()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())

    def test_one_signal_for_many_tasks(self, serve):
        server = serve(events(token("a"), Hang()))
        controller = AbortController()

        async def read(client):
            async for _ in await client.stream_tokens("x"):
                pass

        async def main():
            async with hfgen.AsyncClient(api_url=server.url, signal=controller.signal) as client:
                tasks = [asyncio.create_task(read(client)) for _ in range(20)]
                await asyncio.to_thread(server.request, 19)
                await asyncio.sleep(0.1)
                controller.abort()
                ends = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(isinstance(end, AbortError) for end in ends)

        asyncio.run(main())
