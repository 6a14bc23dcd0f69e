"""What hfgen asks of a transport, asked of its own and of every adapter."""

import asyncio
import gzip
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

import hfgen
from helpers.scripted_answers import answer, as_json, events, token
from helpers.transports_under_test import find_secret
from hfgen import AbortController, FetchRequest
from hfgen.testing import Cut, Hang, Pause, event

ANSWER = as_json({"generated_text": "Once upon"})
STORY = (token("Once"), token(" upon", last="Once upon"))
SILENT = answer(Hang(), framing="raw")
VERBS = ["run", "stream", "stream_tokens", "stream_bytes"]
KEY = "hf_a_secret_key"


@contextmanager
def soon():
    """What is in here takes much less than the timeouts around it."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < 5


def after(server, function, *, index=0, wait=0.1):
    """Call a function in another thread once the server has been asked."""

    def act():
        server.request(index)
        time.sleep(wait)
        function()

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def ends(way, stream):
    """The error that a stream ends with, and the items before it."""
    items = []
    with pytest.raises(hfgen.HfgenError) as caught:
        way.side.collect(stream, items)
    return caught.value, items


class TestAnswers:
    def test_of_run(self, way):
        server = way.serve(ANSWER)
        assert way.side.run(server)[0].generated_text == "Once upon"

    def test_of_streams(self, way):
        server = way.serve(events(*STORY))
        assert way.side.collect(way.side.stream_tokens(server)) == ["Once", " upon"]
        assert len(way.side.collect(way.side.stream(server))) == 2
        said = b"".join(way.side.collect(way.side.stream_bytes(server)))
        assert said == b"".join(map(event, STORY))

    @pytest.mark.parametrize("verb", VERBS)
    def test_of_an_error(self, way, verb):
        server = way.serve(as_json({"error": "no"}, 404, x_request_id="r1"))
        with pytest.raises(hfgen.NotFoundError, match="no") as caught:
            getattr(way.side, verb)(server)
        assert caught.value.request_id == "r1"

    def test_status_and_headers(self, way):
        server = way.serve(events(*STORY, x_request_id="r1"))
        stream = way.side.stream(server)
        assert stream.status == 200
        assert stream.headers["X-Request-Id"] == "r1"
        way.side.close(stream)

    def test_of_nothing(self, way):
        server = way.serve(answer(framing="length"))
        assert way.side.collect(way.side.stream_bytes(server)) == []


class TestPieces:
    BODY = random.Random(1).randbytes(2000)

    @pytest.mark.parametrize("framing", ["chunked", "length", "close"])
    def test_are_the_body(self, way, framing):
        chance = random.Random(2)
        pieces, left = [], self.BODY
        while left:
            size = chance.randint(1, 200)
            pieces.append(left[:size])
            left = left[size:]
        stream = way.side.stream_bytes(way.serve(answer(*pieces, framing=framing)))
        assert b"".join(way.side.collect(stream)) == self.BODY

    @pytest.mark.parametrize("framing", ["chunked", "close"])
    def test_come_as_they_are_sent(self, way, framing):
        server = way.serve(answer(b"a", Pause(0.1), b"b", Hang(), framing=framing))
        stream = way.side.stream_bytes(server)
        assert way.side.next(stream) == b"a"
        assert way.side.next(stream) == b"b"
        way.side.close(stream)
        way.side.wait_for(server.request().hung_up)

    def test_of_one_byte(self, way):
        body = event(token("é日👩\u200d🚀")) + event(token("!", last="é日👩\u200d🚀!"))
        pieces = (body[i : i + 1] for i in range(len(body)))
        stream = way.side.stream_tokens(
            way.serve(answer(*pieces, content_type="text/event-stream"))
        )
        assert "".join(way.side.collect(stream)) == "é日👩\u200d🚀!"

    @pytest.mark.parametrize("framing", ["chunked", "length", "close"])
    def test_of_megabytes(self, way, framing):
        body = random.Random(3).randbytes(3_000_000)
        stream = way.side.stream_bytes(way.serve(answer(body, framing=framing)))
        assert b"".join(way.side.collect(stream)) == body

    def test_are_unpacked(self, socket_way):
        packed = gzip.compress(b'{"generated_text": "Once upon"}')
        server = socket_way.serve(
            answer(packed, framing="length", content_encoding="gzip", content_type="text/json")
        )
        assert socket_way.side.run(server)[0].generated_text == "Once upon"

    def test_that_stop_inside_the_packed_data_are_not_whole(self, socket_way):
        packed = gzip.compress(random.Random(1).randbytes(1000))[:-10]
        stream = socket_way.side.stream_bytes(
            socket_way.serve(answer(packed, framing="length", content_encoding="gzip"))
        )
        with pytest.raises(hfgen.ConnectError):
            socket_way.side.collect(stream)


class TestRequests:
    def test_arrive_as_they_are(self, way):
        server = way.serve(ANSWER)
        request = FetchRequest(
            method="POST",
            url=f"{server.url}/a%2Fb/~c?d=%7e&e=%20[f]",
            headers={"Authorization": f"Bearer {KEY}", "x-a": "1", "accept-encoding": "identity",
                     "user-agent": "mine", "content-type": "application/json"},
            body=b'{"inputs": "x"}',
            timeout=10,
        )  # fmt: skip
        response = way.ask(request)
        assert response.status == 200
        read(way, response)
        asked = server.request()
        assert (asked.method, asked.body) == ("POST", request.body)
        assert asked.path == "/a%2Fb/~c?d=%7e&e=%20[f]"
        for name, value in request.headers.items():
            assert asked.headers[name.lower()] == value
        # Of its own it may have what HTTP is made of, and what asks for no more than it gets.
        more = set(asked.headers) - {name.lower() for name in request.headers}
        assert more <= {"host", "content-length", "connection", "accept"}
        assert asked.headers["content-length"] == str(len(request.body))

    def test_without_a_body(self, way):
        server = way.serve(ANSWER)
        request = FetchRequest(method="GET", url=server.url, headers={"accept": "*/*"}, timeout=10)
        read(way, way.ask(request))
        assert (server.request().method, server.request().body) == ("GET", b"")

    def test_of_a_megabyte(self, way):
        server = way.serve(ANSWER)
        way.side.run(server, "é" * 500_000)
        assert server.request().json["inputs"] == "é" * 500_000

    def test_bring_no_cookies_back(self, way):
        server = way.serve(as_json({"generated_text": "a"}, set_cookie=f"a={KEY}; Path=/"))
        for _ in range(2):
            way.side.run(server)
        if way.name != "async aiohttp":  # a session's cookies are its user's choice
            assert "cookie" not in server.request(1).headers

    def test_reuse_the_connection(self, socket_way):
        server = socket_way.serve(ANSWER, events(*STORY), as_json({"error": "no"}, 404), ANSWER)
        socket_way.side.run(server)
        socket_way.side.collect(socket_way.side.stream_tokens(server))
        with pytest.raises(hfgen.NotFoundError):
            socket_way.side.run(server)
        controller = AbortController()
        socket_way.side.run(server, signal=controller.signal)
        # Nothing of it is left to abort.
        controller.abort()
        socket_way.side.run(server)
        assert server.connections == 1

    def test_many_at_once(self, way):
        server = way.serve(events(token("a"), Pause(0.05), token("b", last="ab")))
        if way.side.name == "sync":
            with ThreadPoolExecutor(10) as threads:
                url = f"{server.url}/"
                texts = list(
                    threads.map(
                        lambda _: "".join(way.client.stream_tokens("x", api_url=url)), range(30)
                    )
                )
        else:

            async def read_one():
                stream = await way.client.stream_tokens("x", api_url=f"{server.url}/")
                return "".join([text async for text in stream])

            async def read_all():
                return await asyncio.gather(*(read_one() for _ in range(30)))

            texts = way.side.call(read_all)
        assert texts == ["ab"] * 30


def read(way, response):
    """Read the body to its end, and close."""
    if way.side.name == "sync":
        body = b"".join(response.body)
        response.close()
        return body

    async def reading():
        body = b"".join([piece async for piece in response.body])
        if (closing := response.close()) is not None:
            await closing
        return body

    return way.side.call(reading)


class TestRedirects:
    def test_are_not_followed(self, way):
        target = way.serve(ANSWER)
        server = way.serve(answer(b"gone", status=307, location=target.url, framing="length"))
        request = FetchRequest(
            method="POST", url=server.url, headers={"x-a": "1"}, body=b"{}", timeout=10
        )
        response = way.ask(request)
        assert response.status == 307
        assert hfgen._core.headers.Headers(response.headers)["location"] == target.url
        assert read(way, response) == b"gone"
        assert target.requests == []

    def test_take_no_key_along(self, way):
        target = way.serve(ANSWER)
        server = way.serve(answer(status=308, location=f"{target.url}/b", framing="length"))
        way.side.run(server, api_key=KEY, headers={"x-secret": KEY, "cookie": KEY})
        assert server.request().headers["authorization"] == f"Bearer {KEY}"
        asked = target.request()
        assert (asked.method, asked.path, asked.json) == (
            "POST", "/b", {"inputs": "Once", "parameters": {"do_sample": False}, "stream": False}
        )  # fmt: skip
        assert KEY not in str(asked.headers)


class TestLeaving:
    @pytest.mark.parametrize("how", ["leave_by_break", "close", "drop"])
    @pytest.mark.parametrize("verb", ["stream", "stream_tokens", "stream_bytes"])
    def test_is_seen_by_the_server(self, way, verb, how):
        server = way.serve(events(token("a"), token("b"), Hang()))
        stream = getattr(way.side, verb)(server)
        if how == "leave_by_break":
            way.side.leave_by_break(stream, 1)
        elif how == "close":
            way.side.next(stream)
            way.side.close(stream)
        else:
            way.side.next(stream)
            del stream
        with soon():
            way.side.wait_for(server.request().hung_up)

    def test_before_anything_was_read(self, way):
        server = way.serve(events(token("a"), Hang()))
        stream = way.side.stream_tokens(server)
        way.side.close(stream)
        way.side.close(stream)
        with soon():
            way.side.wait_for(server.request().hung_up)

    def test_leaves_the_client_usable(self, way):
        server = way.serve(events(token("a"), Hang()), events(*STORY))
        way.side.leave_by_break(way.side.stream_tokens(server), 1)
        assert way.side.collect(way.side.stream_tokens(server)) == ["Once", " upon"]

    def test_from_another_thread_wakes_the_reader(self, way):
        if way.side.name == "async":
            pytest.skip("a stream of asyncio is for one thread")
        server = way.serve(events(token("a"), Hang()))
        stream = way.side.stream_tokens(server, timeout=60)
        assert next(stream) == "a"
        thread = after(server, stream.close)
        with soon(), pytest.raises(hfgen.StreamClosedError):
            next(stream)
        thread.join()
        way.side.wait_for(server.request().hung_up)

    @pytest.mark.parametrize("when", ["headers", "stream"])
    def test_by_cancelling_the_task(self, way, when):
        if way.side.name == "sync":
            pytest.skip("there are no tasks")
        server = way.serve(SILENT if when == "headers" else events(token("a"), Hang()))

        async def reading():
            async for _ in await way.client.stream_tokens("x", api_url=f"{server.url}/"):
                pass

        async def main():
            task = asyncio.create_task(reading())
            await asyncio.to_thread(server.request)
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(server.request().hung_up.wait, 5)

        way.side.call(main)


class TestAborting:
    @pytest.mark.parametrize("verb", VERBS)
    def test_while_waiting_for_the_headers(self, way, verb):
        server = way.serve(SILENT)
        controller = AbortController()
        thread = after(server, lambda: controller.abort("enough"))
        with soon(), pytest.raises(hfgen.AbortError, match="enough"):
            getattr(way.side, verb)(server, signal=controller.signal, timeout=60)
        thread.join()
        with soon():
            way.side.wait_for(server.request().hung_up)
        assert len(server.requests) == 1

    def test_while_waiting_for_the_headers_on_a_kept_connection(self, socket_way):
        server = socket_way.serve(ANSWER, SILENT)
        socket_way.side.run(server)
        controller = AbortController()
        thread = after(server, controller.abort, index=1)
        with soon(), pytest.raises(hfgen.AbortError):
            socket_way.side.run(server, signal=controller.signal, timeout=60)
        thread.join()
        with soon():
            socket_way.side.wait_for(server.request(1).hung_up)
        assert server.connections == 1

    @pytest.mark.parametrize("framing", ["chunked", "length", "close"])
    def test_in_mid_stream(self, way, framing):
        server = way.serve(events(token("Once"), token(" upon"), Hang(), b"x", framing=framing))
        controller = AbortController()
        stream = way.side.stream_tokens(server, signal=controller.signal, timeout=60)
        assert way.side.next(stream) == "Once"
        thread = after(server, controller.abort, wait=0.3)
        with soon(), pytest.raises(hfgen.AbortError) as caught:
            way.side.collect(stream)
        thread.join()
        assert caught.value.text == "Once upon"
        with soon():
            way.side.wait_for(server.request().hung_up)

    def test_while_reading_a_whole_answer(self, way):
        server = way.serve(answer(b'{"generated_', Hang(), b'text": "x"}'))
        controller = AbortController()
        thread = after(server, controller.abort, wait=0.3)
        with soon(), pytest.raises(hfgen.AbortError):
            way.side.run(server, signal=controller.signal, timeout=60)
        thread.join()
        with soon():
            way.side.wait_for(server.request().hung_up)

    def test_leaves_the_client_usable(self, way):
        server = way.serve(SILENT, events(token("a"), Hang()), ANSWER)
        for _ in range(2):
            controller = AbortController()
            thread = after(server, controller.abort, index=len(server.requests))
            with pytest.raises(hfgen.AbortError):
                way.side.run(server, signal=controller.signal, timeout=60)
            thread.join()
        assert way.side.run(server)[0].generated_text == "Once upon"


class TestTimeouts:
    def test_for_the_headers(self, way):
        server = way.serve(SILENT)
        with soon(), pytest.raises(hfgen.TimeoutError, match=r"0\.3 s|in time") as caught:
            way.side.run(server, timeout=0.3, max_retries=0)
        assert caught.value.phase == "first_token"
        with soon():
            way.side.wait_for(server.request().hung_up)

    def test_in_mid_stream(self, way):
        server = way.serve(events(token("Once"), Hang()))
        with soon():
            error, items = ends(
                way, way.side.stream_tokens(server, timeout=hfgen.Timeout(between_tokens=0.3))
            )
        assert type(error) is hfgen.TimeoutError
        assert error.phase == "between_tokens"
        assert (items, error.text) == (["Once"], "Once")
        with soon():
            way.side.wait_for(server.request().hung_up)

    def test_start_anew_with_each_read(self, way):
        steps = [step for text in "abcd" for step in (token(text), Pause(0.3))]
        server = way.serve(events(*steps, token("e", last="abcde")))
        assert way.side.collect(
            way.side.stream_tokens(server, timeout=hfgen.Timeout(between_tokens=1))
        ) == list("abcde")

    def test_none_is_none(self, way):
        server = way.serve(events(token("a"), Pause(0.3), token("b", last="ab")))
        assert way.side.collect(way.side.stream_tokens(server, timeout=None)) == ["a", "b"]


class TestBreaks:
    def test_refused(self, socket_way):
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{held.getsockname()[1]}/a?b={KEY}"
            error = socket_way.side.failure(
                socket_way.client.run, "x", api_url=url, api_key=KEY, max_retries=0
            )
        assert type(error) is hfgen.ConnectError
        assert "cannot connect to http://127.0.0.1" in str(error)
        assert isinstance(error.__cause__, OSError)
        assert find_secret(error, KEY) == []

    def test_a_host_that_does_not_exist(self, socket_way):
        error = socket_way.side.failure(
            socket_way.client.run, "x", api_url="http://no-such-host.invalid/", max_retries=0
        )
        assert type(error) is hfgen.ConnectError
        assert "no-such-host.invalid" in str(error)

    @pytest.mark.parametrize("cut", [Cut(), Cut(reset=True)], ids=["closed", "reset"])
    def test_before_the_headers(self, socket_way, cut):
        server = socket_way.serve(answer(cut, framing="raw"))
        error = socket_way.side.failure(
            socket_way.client.run, "x", api_url=f"{server.url}/", api_key=KEY, max_retries=0
        )
        assert type(error) is hfgen.ConnectError
        assert "broke" in str(error)
        assert find_secret(error, KEY) == []

    def test_by_what_is_no_http(self, socket_way):
        server = socket_way.serve(answer(b"SMTP? 220\r\n\r\n", Cut(), framing="raw"))
        error = socket_way.side.failure(
            socket_way.client.run, "x", api_url=f"{server.url}/", api_key=KEY, max_retries=0
        )
        assert type(error) is hfgen.ConnectError
        assert find_secret(error, KEY) == []

    @pytest.mark.parametrize("cut", [Cut(), Cut(reset=True)], ids=["closed", "reset"])
    def test_in_mid_stream(self, way, cut):
        server = way.serve(events(token("Once"), token(" upon"), Pause(0.2), cut))
        stream = way.side.stream_tokens(server, api_key=KEY)
        error, items = ends(way, stream)
        assert type(error) is hfgen.IncompleteGenerationError
        assert items == ["Once", " upon"]
        assert error.text == "Once upon"
        assert isinstance(error.__cause__, hfgen.ConnectError)
        assert find_secret(error, KEY) == []
        assert len(server.requests) == 1

    def test_in_mid_stream_at_once(self, way):
        server = way.serve(events(token("Once"), token(" upon"), Cut()))
        error, items = ends(way, way.side.stream_tokens(server))
        assert type(error) is hfgen.IncompleteGenerationError
        assert items == ["Once", " upon"]

    def test_inside_a_chunk(self, socket_way):
        body = event(token("Once")) + event(token(" up")) + b"data: {"
        head = (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
        )
        chunk = b"%s\r\n%x\r\n%s" % (head, len(body) + 50, body)
        server = socket_way.serve(answer(chunk, Cut(), framing="raw"))
        error, items = ends(socket_way, socket_way.side.stream_tokens(server))
        assert type(error) is hfgen.IncompleteGenerationError
        assert items == ["Once", " up"]

    def test_of_a_body_with_a_length(self, socket_way):
        server = socket_way.serve(answer(b"a", Cut(), b"never sent", framing="length"))
        error, items = ends(socket_way, socket_way.side.stream_bytes(server))
        assert type(error) is hfgen.ConnectError
        assert items == [b"a"]

    def test_after_the_last_event_is_none(self, way):
        server = way.serve(events(token("Once", last="Once"), Pause(0.1), Cut()))
        assert way.side.collect(way.side.stream_tokens(server)) == ["Once"]

    def test_of_a_kept_connection_is_mended(self, socket_way):
        server = socket_way.serve(ANSWER, answer(Cut(), framing="raw"), ANSWER)
        socket_way.side.run(server)
        assert socket_way.side.run(server)[0].generated_text == "Once upon"
