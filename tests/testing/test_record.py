"""The script and the record, tested through a server."""

import json
import sys
import threading
import time

import pytest

from helpers.raw_client import REQUEST, ask, client, connect_raw
from hfgen.testing import (
    Cut,
    Hang,
    Pause,
    ScriptedServer,
    answer,
    as_json,
    generated,
    status,
    tokens,
)


class TestScript:
    def test_answers_come_in_order_and_the_last_one_is_repeated(self, serve):
        server = serve(status(503), status(429), generated("a"))
        assert [ask(server)[0] for _ in range(5)] == [503, 429, 200, 200, 200]

    def test_answers_come_in_order_over_one_connection(self, serve):
        server = serve(tokens("a"), status(404, "no"), status(204), answer(b"b"))
        with client(server) as connection:
            answers = []
            for _ in range(4):
                connection.request("POST", "/", b"x")
                response = connection.getresponse()
                answers.append((response.status, response.read()))
        assert answers == [(200, tokens("a").content), (404, b"no"), (204, b""), (200, b"b")]
        assert server.connections == 1

    def test_strict_refuses_further_requests(self):
        server = ScriptedServer(status(200), strict=True).start()
        assert [ask(server)[0] for _ in range(3)] == [200, 500, 500]
        server.close()
        with pytest.raises(AssertionError, match=r"POST /, 2 bytes.*the script has 1 answers"):
            server.check()

    def test_strict_fails_the_with_block(self):
        with (
            pytest.raises(AssertionError, match="the script has 0 answers"),
            ScriptedServer(strict=True) as server,
        ):
            ask(server)

    def test_an_error_of_the_block_is_raised_instead(self):
        def block():
            with ScriptedServer(strict=True) as server:
                ask(server)
                raise KeyError

        with pytest.raises(KeyError):
            block()

    def test_a_function_answers(self, serve):
        server = serve(lambda request: as_json({"asked": request.json["n"]}))
        assert [json.loads(ask(server, b'{"n": %d}' % n)[1])["asked"] for n in (5, 7)] == [5, 7]

    @pytest.mark.parametrize(
        "function",
        [
            lambda _: 1 / 0,
            lambda _: "text",
            # These are no subclasses of Exception.
            lambda _: pytest.fail("seen"),
            lambda _: pytest.skip("seen"),
            lambda _: sys.exit("seen"),
        ],
    )
    def test_a_function_that_fails_fails_the_test(self, function):
        server = ScriptedServer(function).start()
        assert ask(server)[0] == 500
        server.close()
        with pytest.raises(AssertionError, match="no answer to"):
            server.check()

    @pytest.mark.parametrize("script", [["text"], [b"bytes"], [None], [[status(200)]]])
    def test_a_script_of_something_else_than_answers(self, script):
        with pytest.raises(TypeError, match="made of answers"):
            ScriptedServer(*script)

    def test_an_empty_script(self):
        with pytest.raises(ValueError, match="at least one"):
            ScriptedServer()


class TestRecord:
    def test_a_request_is_recorded(self, serve):
        server = serve(status(200))
        started_at = time.monotonic()
        ask(server, '{"inputs": "é"}'.encode(), "PUT", "/a?b=c", X_Key="s3cret")
        request = server.requests[0]
        assert (request.method, request.path) == ("PUT", "/a?b=c")
        assert request.headers["x_KEY"] == "s3cret"
        assert request.json == {"inputs": "é"}
        assert request.body == '{"inputs": "é"}'.encode()
        assert request.connection == 1
        assert started_at <= request.received_at <= time.monotonic()
        assert "s3cret" not in f"{request!r}{request.headers!r}"
        assert "b=c" not in repr(request)

    def test_the_progress_of_an_answer_is_recorded(self, serve):
        server = serve(answer(b"abc", Hang(), b"d"))
        with connect_raw(server) as sock:
            sock.sendall(REQUEST)
            request = server.request()
            received = b""
            while not received.endswith(b"abc\r\n"):
                received += sock.recv(100)
            time.sleep(0.05)
            assert request.bytes_sent == 3
            assert not request.answered.is_set()
            assert not request.hung_up.is_set()
            assert not server.wait_until_idle(0.05)
            assert server.open_connections == 1
            started_at = time.monotonic()
        assert request.hung_up.wait(10)
        assert started_at <= request.hung_up_at <= time.monotonic()
        assert server.wait_until_idle()
        assert server.wait_until_left()
        assert server.open_connections == 0

    def test_a_client_that_stays_has_not_hung_up(self, serve):
        server = serve(tokens("a"))
        ask(server)
        request = server.requests[0]
        assert request.answered.wait(10)
        assert not request.hung_up.is_set()
        assert request.hung_up_at is None
        assert request.bytes_sent == len(tokens("a").content)

    @pytest.mark.parametrize("cut", [Cut(), Cut(reset=True)])
    def test_a_cut_is_not_a_hang_up(self, serve, cut):
        server = serve(answer(b"a", cut))
        with connect_raw(server) as sock:
            sock.sendall(REQUEST)
            assert server.request().answered.wait(10)
            assert server.wait_until_left()
        assert not server.requests[0].hung_up.is_set()

    def test_a_hang_up_while_a_large_body_is_sent(self, serve):
        server = serve(answer(b"x" * 50_000_000, framing="length"))
        with connect_raw(server) as sock:
            sock.sendall(REQUEST)
            sock.recv(10)
        assert server.request().hung_up.wait(10)

    def test_a_hang_up_during_a_pause_or_a_delay(self, serve):
        server = serve(answer(b"a", Pause(60)), answer(b"a").after(60))
        for index in range(2):
            with connect_raw(server) as sock:
                sock.sendall(REQUEST)
                server.request(index)
            assert server.request(index).hung_up.wait(10)

    def test_waiting_for_a_request_times_out(self, serve):
        with pytest.raises(TimeoutError, match="has 0 requests"):
            serve(status(200)).request(timeout=0.05)
        server = serve(status(200))
        assert not server.wait_until_left(1, timeout=0.05)

    def test_many_threads_at_once(self, serve):
        server = serve(lambda request: as_json(request.json))

        def send_requests(number):
            for repetition in range(10):
                numbers = [number, repetition]
                assert json.loads(ask(server, json.dumps(numbers).encode())[1]) == numbers

        threads = [threading.Thread(target=send_requests, args=[number]) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(server.requests) == server.connections == 100
        assert len({tuple(request.json) for request in server.requests}) == 100
