"""Requests and answers on the socket, byte by byte."""

import http.client
import socket
import time

import pytest

from helpers.raw_client import REQUEST, ask, client, connect_raw, read_all
from hfgen.testing import Cut, Pause, answer, event, events, status, tokens


class TestFraming:
    @pytest.mark.parametrize("framing", ["chunked", "length", "close"])
    @pytest.mark.parametrize("size", [None, 1, 7])
    def test_the_body_arrives(self, serve, framing, size):
        scripted = events({"a": "é"}, b"", event("b"), framing=framing)
        server = serve(scripted if size is None else scripted.in_pieces(size))
        assert ask(server) == (200, scripted.content)

    def test_every_piece_is_a_chunk(self, serve):
        server = serve(answer(b"abc").in_pieces())
        with connect_raw(server) as sock:
            sock.sendall(REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"))
            assert read_all(sock).endswith(b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n")

    def test_raw_sends_the_body_only(self, serve):
        with connect_raw(serve(answer(b"any", b"thing", framing="raw"))) as sock:
            sock.sendall(REQUEST)
            assert read_all(sock) == b"anything"

    def test_headers_of_the_script_replace_those_of_the_framing(self, serve):
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
        with connect_raw(serve(answer(b"a", Pause(0.05), Cut(reset=True)))) as sock:
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
    def test_a_chunked_body(self, serve):
        server = serve(status(200))
        with client(server) as connection:
            for _ in range(2):
                connection.request("POST", "/", iter([b"ab", b"c" * 100_000]))
                connection.getresponse().read()
        assert [r.body for r in server.requests] == [b"ab" + b"c" * 100_000] * 2

    def test_expect_100_continue(self, serve):
        with connect_raw(serve(answer(b"x", framing="close"))) as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n")
            assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(b"a")
            assert read_all(sock).endswith(b"\r\n\r\nx")

    def test_a_second_request_during_a_pause(self, serve):
        server = serve(answer(b"a", Pause(0.1), framing="length"), answer(b"b", framing="close"))
        with connect_raw(server) as sock:
            sock.sendall(REQUEST)
            server.request()
            sock.sendall(REQUEST[:9])
            time.sleep(0.02)
            sock.sendall(REQUEST[9:])
            assert read_all(sock).endswith(b"\r\n\r\nb")
        assert len(server.requests) == 2

    def test_byte_by_byte(self, serve):
        with connect_raw(serve(answer(b"x", framing="close"))) as sock:
            for byte in b"\r\n" + REQUEST:
                sock.sendall(bytes([byte]))
            assert read_all(sock).endswith(b"\r\n\r\nx")

    @pytest.mark.parametrize("method", ["HEAD", "GET"])
    def test_without_a_body(self, serve, method):
        server = serve(status(200, "text"))
        assert ask(server, None, method) == (200, b"" if method == "HEAD" else b"text")

    @pytest.mark.parametrize("option", [b"close", b"keep-alive"])
    def test_connection_close_is_answered_with_close(self, serve, option):
        with connect_raw(serve(status(200, "x"))) as sock:
            sock.sendall(REQUEST.replace(b"\r\n\r\n", b"\r\nconnection: %b\r\n\r\n" % option))
            sock.shutdown(socket.SHUT_WR)
            assert (b"connection: close" in read_all(sock)) == (option == b"close")

    @pytest.mark.parametrize(
        "data",
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
        ids=lambda data: repr(data[:30]),
    )
    def test_what_is_not_http_is_answered_with_400(self, serve, data):
        server = serve(status(200))
        with connect_raw(server) as sock:
            try:
                sock.sendall(data)
                assert read_all(sock).startswith(b"HTTP/1.1 400 Bad Request\r\n")
            except ConnectionError:
                # The server closed the connection with bytes unread.
                assert len(data) > 100
        assert server.requests == []
        assert ask(server)[0] == 200
