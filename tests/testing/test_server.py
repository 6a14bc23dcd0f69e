"""The server on its socket, asked by `http.client` and by hand."""

import http.client
import json
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from hfgen.testing import (
    Cut,
    Hang,
    Pause,
    ScriptedServer,
    answer,
    as_json,
    event,
    events,
    generated,
    status,
    tokens,
)


@contextmanager
def connected(server, timeout=10):
    """A connection of a client that does just what it is told."""
    host, port = server.url.rpartition("//")[2].split(":")
    with socket.create_connection((host, int(port)), timeout) as sock:
        yield sock


@contextmanager
def client(server):
    connection = http.client.HTTPConnection(server.url.rpartition("//")[2], timeout=10)
    try:
        yield connection
    finally:
        connection.close()


def ask(server, body=b"{}", method="POST", path="/", **headers):
    with client(server) as connection:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()


def read_all(sock):
    pieces = []
    while piece := sock.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


REQUEST = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"


class TestScript:
    def test_answers_in_order_and_the_last_one_again(self, serve):
        server = serve(status(503), status(429), generated("a"))
        assert [ask(server)[0] for _ in range(5)] == [503, 429, 200, 200, 200]

    def test_over_one_connection_too(self, serve):
        server = serve(tokens("a"), status(404, "no"), status(204), answer(b"b"))
        with client(server) as connection:
            got = []
            for _ in range(4):
                connection.request("POST", "/", b"x")
                response = connection.getresponse()
                got.append((response.status, response.read()))
        assert got == [(200, tokens("a").content), (404, b"no"), (204, b""), (200, b"b")]
        assert server.connections == 1

    def test_strict(self):
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

    def test_a_block_that_fails_by_itself_says_why(self):
        def block():
            with ScriptedServer(strict=True) as server:
                ask(server)
                raise KeyError

        with pytest.raises(KeyError):
            block()

    def test_a_function_answers(self, serve):
        server = serve(lambda request: as_json({"asked": request.json["n"]}))
        assert [json.loads(ask(server, b'{"n": %d}' % n)[1])["asked"] for n in (5, 7)] == [5, 7]

    @pytest.mark.parametrize("function", [lambda _: 1 / 0, lambda _: "text"])
    def test_a_function_that_fails_fails_the_test(self, function):
        server = ScriptedServer(function).start()
        assert ask(server)[0] == 500
        server.close()
        with pytest.raises(AssertionError, match="no answer to"):
            server.check()

    @pytest.mark.parametrize("script", [["text"], [b"bytes"], [None], [[status(200)]]])
    def test_what_is_no_answer(self, script):
        with pytest.raises(TypeError, match="made of answers"):
            ScriptedServer(*script)

    def test_an_empty_one(self):
        with pytest.raises(ValueError, match="at least one"):
            ScriptedServer()


class TestRecord:
    def test_of_a_request(self, serve):
        server = serve(status(200))
        before = time.monotonic()
        ask(server, '{"inputs": "é"}'.encode(), "PUT", "/a?b=c", X_Key="s3cret")
        request = server.requests[0]
        assert (request.method, request.path) == ("PUT", "/a?b=c")
        assert request.headers["x_KEY"] == "s3cret"
        assert request.json == {"inputs": "é"}
        assert request.body == '{"inputs": "é"}'.encode()
        assert request.connection == 1
        assert before <= request.received_at <= time.monotonic()
        assert "s3cret" not in f"{request!r}{request.headers!r}"
        assert "b=c" not in repr(request)

    def test_of_an_answer(self, serve):
        server = serve(answer(b"abc", Hang(), b"d"))
        with connected(server) as sock:
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
            before = time.monotonic()
        assert request.hung_up.wait(10)
        assert before <= request.hung_up_at <= time.monotonic()
        assert server.wait_until_idle()
        assert server.wait_until_left()
        assert server.open_connections == 0

    def test_of_one_who_stays(self, serve):
        server = serve(tokens("a"))
        ask(server)
        request = server.requests[0]
        assert request.answered.wait(10)
        assert not request.hung_up.is_set()
        assert request.hung_up_at is None
        assert request.bytes_sent == len(tokens("a").content)

    @pytest.mark.parametrize("cut", [Cut(), Cut(reset=True)])
    def test_a_cut_is_not_the_clients_doing(self, serve, cut):
        server = serve(answer(b"a", cut))
        with connected(server) as sock:
            sock.sendall(REQUEST)
            assert server.request().answered.wait(10)
            assert server.wait_until_left()
        assert not server.requests[0].hung_up.is_set()

    def test_of_one_who_leaves_while_much_is_sent(self, serve):
        server = serve(answer(b"x" * 50_000_000, framing="length"))
        with connected(server) as sock:
            sock.sendall(REQUEST)
            sock.recv(10)
        assert server.request().hung_up.wait(10)

    def test_of_one_who_leaves_during_a_pause_or_before_the_head(self, serve):
        server = serve(answer(b"a", Pause(60)), answer(b"a").after(60))
        for index in range(2):
            with connected(server) as sock:
                sock.sendall(REQUEST)
                server.request(index)
            assert server.request(index).hung_up.wait(10)

    def test_of_what_never_comes(self, serve):
        with pytest.raises(TimeoutError, match="has 0 requests"):
            serve(status(200)).request(timeout=0.05)
        server = serve(status(200))
        assert not server.wait_until_left(1, timeout=0.05)

    def test_of_many_at_once(self, serve):
        server = serve(lambda request: as_json(request.json))

        def asks(number):
            for again in range(10):
                said = [number, again]
                assert json.loads(ask(server, json.dumps(said).encode())[1]) == said

        threads = [threading.Thread(target=asks, args=[number]) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(server.requests) == server.connections == 100
        assert len({tuple(request.json) for request in server.requests}) == 100


class TestFraming:
    @pytest.mark.parametrize("framing", ["chunked", "length", "close"])
    @pytest.mark.parametrize("size", [None, 1, 7])
    def test_brings_the_body(self, serve, framing, size):
        said = events({"a": "é"}, b"", event("b"), framing=framing)
        server = serve(said if size is None else said.in_pieces(size))
        assert ask(server) == (200, said.content)

    def test_every_piece_is_a_chunk(self, serve):
        server = serve(answer(b"abc").in_pieces())
        with connected(server) as sock:
            sock.sendall(REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"))
            assert read_all(sock).endswith(b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n")

    def test_raw_sends_what_it_has(self, serve):
        with connected(serve(answer(b"any", b"thing", framing="raw"))) as sock:
            sock.sendall(REQUEST)
            assert read_all(sock) == b"anything"

    def test_headers_of_the_script_are_over_those_of_the_framing(self, serve):
        server = serve(answer(b"ab", headers={"Content-Length": "5"}, framing="length"))
        with client(server) as connection:
            connection.request("GET", "/")
            response = connection.getresponse()
            assert response.getheader("content-length") == "5"
            response.close()

    def test_a_cut_in_the_middle_of_a_character(self, serve):
        server = serve(tokens("é").at(b"\xc3", Cut()))
        with client(server) as connection:
            connection.request("POST", "/")
            with pytest.raises(http.client.IncompleteRead) as caught:
                connection.getresponse().read()
        assert caught.value.partial.endswith(b'"text": "\xc3')

    def test_a_reset(self, serve):
        with connected(serve(answer(b"a", Pause(0.05), Cut(reset=True)))) as sock:
            sock.sendall(REQUEST)
            with pytest.raises(ConnectionResetError):
                read_all(sock)

    def test_a_delay(self, serve):
        server = serve(status(200).after(0.2))
        started = time.monotonic()
        ask(server)
        assert time.monotonic() - started >= 0.2

    def test_slowly(self, serve):
        server = serve(answer(b"abc").slowly(0.05))
        started = time.monotonic()
        assert ask(server) == (200, b"abc")
        assert time.monotonic() - started >= 0.15


class TestRequests:
    def test_in_chunks(self, serve):
        server = serve(status(200))
        with client(server) as connection:
            for _ in range(2):
                connection.request("POST", "/", iter([b"ab", b"c" * 100_000]))
                connection.getresponse().read()
        assert [r.body for r in server.requests] == [b"ab" + b"c" * 100_000] * 2

    def test_that_wait_to_be_asked_for_their_body(self, serve):
        with connected(serve(answer(b"x", framing="close"))) as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n")
            assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(b"a")
            assert read_all(sock).endswith(b"\r\n\r\nx")

    def test_one_upon_the_other_during_a_pause(self, serve):
        server = serve(answer(b"a", Pause(0.1), framing="length"), answer(b"b", framing="close"))
        with connected(server) as sock:
            sock.sendall(REQUEST)
            server.request()
            sock.sendall(REQUEST[:9])
            time.sleep(0.02)
            sock.sendall(REQUEST[9:])
            assert read_all(sock).endswith(b"\r\n\r\nb")
        assert len(server.requests) == 2

    def test_byte_by_byte(self, serve):
        with connected(serve(answer(b"x", framing="close"))) as sock:
            for byte in b"\r\n" + REQUEST:
                sock.sendall(bytes([byte]))
            assert read_all(sock).endswith(b"\r\n\r\nx")

    @pytest.mark.parametrize("method", ["HEAD", "GET"])
    def test_without_a_body(self, serve, method):
        server = serve(status(200, "text"))
        assert ask(server, None, method) == (200, b"" if method == "HEAD" else b"text")

    @pytest.mark.parametrize("said", [b"close", b"keep-alive"])
    def test_that_want_no_more(self, serve, said):
        with connected(serve(status(200, "x"))) as sock:
            sock.sendall(REQUEST.replace(b"\r\n\r\n", b"\r\nconnection: %b\r\n\r\n" % said))
            sock.shutdown(socket.SHUT_WR)
            assert (b"connection: close" in read_all(sock)) == (said == b"close")

    @pytest.mark.parametrize(
        "said",
        [
            b"nonsense\r\n\r\n",
            b"GET / HTTP/2\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
            b"GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
            b"\x16\x03\x01\x00\x00",
            b"\xff",
            b"x" * 2_000_000,
        ],
        ids=lambda said: repr(said[:30]),
    )
    def test_that_are_none(self, serve, said):
        server = serve(status(200))
        with connected(server) as sock:
            try:
                sock.sendall(said)
                assert read_all(sock).startswith(b"HTTP/1.1 400 Bad Request\r\n")
            except ConnectionError:
                # It was closed with something unread.
                assert len(said) > 100
        assert server.requests == []
        assert ask(server)[0] == 200
