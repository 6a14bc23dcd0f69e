"""The server: it leaves nothing open when it is closed; and TLS."""

import gc
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from hfgen.testing import Hang, Pause, ScriptedServer, answer, status, tokens

REQUEST = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"


def connect(server):
    host, port = server.url.rpartition("//")[2].split(":")
    return socket.create_connection((host, int(port)), 10)


def open_files():
    gc.collect()
    files = Path("/proc/self/fd")
    return len(list(files.iterdir())) if files.exists() else 0


@pytest.fixture(autouse=True)
def check_leftovers():
    files, threads = open_files(), set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= threads
    assert open_files() == files


@pytest.mark.parametrize(
    "scripted",
    [
        answer(Hang(), framing="raw"),
        tokens("a", Hang()),
        answer(b"a", Pause(100)),
        status(200).after(100),
        answer(b"x" * 50_000_000),
        tokens("a"),
    ],
    ids=["silent", "hanging", "pausing", "delayed", "sending", "idle"],
)
@pytest.mark.parametrize("clients", [1, 20])
def test_closing_takes_no_time_in_any_state(scripted, clients):
    with ScriptedServer(scripted) as server:
        connections = [connect(server) for _ in range(clients)]
        for connection in connections:
            connection.sendall(REQUEST)
        server.request(clients - 1)
        time.sleep(0.05)
        started = time.monotonic()
    assert time.monotonic() - started < 2
    # The server closed the connections, so no client hung up.
    assert not any(request.hung_up.is_set() for request in server.requests)
    for connection in connections:
        connection.close()


def test_closing_with_clients_that_sent_no_whole_request():
    with ScriptedServer(status(200)) as server:
        silent, half = connect(server), connect(server)
        half.sendall(REQUEST[:20])
        time.sleep(0.05)
    silent.close()
    half.close()


def test_closing_twice_or_before_the_start_is_harmless():
    server = ScriptedServer(status(200))
    server.close()
    server = ScriptedServer(status(200)).start()
    server.close()
    server.close()


def test_a_server_is_started_once():
    server = ScriptedServer(status(200))
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = server.url
    with server, pytest.raises(RuntimeError, match="started once"):
        server.start()


def test_after_closing_connections_are_refused():
    with ScriptedServer(status(200)) as server:
        pass
    with pytest.raises(ConnectionRefusedError):
        connect(server)
    assert server.url.startswith("http://127.0.0.1:")
    assert server.requests == []


class TestTLS:
    @pytest.fixture
    def context(self, certificate):
        return ssl.create_default_context(cafile=certificate[0])

    @pytest.mark.parametrize("form", ["files", "context"])
    def test_answers_over_tls(self, certificate, context, form):
        tls = certificate
        if form == "context":
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(*certificate)
        with ScriptedServer(answer(b"abc", Pause(0.05), framing="close"), tls=tls) as server:
            assert server.url.startswith("https://")
            with context.wrap_socket(connect(server), server_hostname="127.0.0.1") as sock:
                # Without the server's closing message, `recv` would raise an error.
                sock.sendall(REQUEST)
                received = b""
                while piece := sock.recv(1000):
                    received += piece
        assert received.endswith(b"\r\n\r\nabc")

    def test_a_client_that_hangs_up(self, certificate, context):
        with ScriptedServer(answer(b"abc", Hang()), tls=certificate) as server:
            with context.wrap_socket(connect(server), server_hostname="127.0.0.1") as sock:
                sock.sendall(REQUEST)
                server.request()
            assert server.request().hung_up.wait(10)

    def test_closing_with_open_connections(self, certificate, context):
        with ScriptedServer(answer(b"abc", Hang()), tls=certificate) as server:
            silent = connect(server)
            hanging = context.wrap_socket(connect(server), server_hostname="127.0.0.1")
            hanging.sendall(REQUEST)
            server.request()
            started = time.monotonic()
        assert time.monotonic() - started < 2
        silent.close()
        hanging.close()

    def test_a_client_that_does_not_trust_the_certificate(self, certificate):
        with ScriptedServer(status(200), tls=certificate) as server:
            sock = connect(server)
            with pytest.raises(ssl.SSLCertVerificationError):
                ssl.create_default_context().wrap_socket(sock, server_hostname="127.0.0.1")
            sock.close()
            assert server.wait_until_left(1)
        assert server.requests == []
