"""The server: what it leaves when it is closed, whatever went on, and TLS."""

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
def nothing_is_left():
    files, threads = open_files(), set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= threads
    assert open_files() == files


@pytest.mark.parametrize(
    "said",
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
def test_at_once_whatever_goes_on(said, clients):
    with ScriptedServer(said) as server:
        connections = [connect(server) for _ in range(clients)]
        for connection in connections:
            connection.sendall(REQUEST)
        server.request(clients - 1)
        time.sleep(0.05)
        started = time.monotonic()
    assert time.monotonic() - started < 2
    # It was the server who left.
    assert not any(request.hung_up.is_set() for request in server.requests)
    for connection in connections:
        connection.close()


def test_with_clients_that_say_nothing_or_half_of_it():
    with ScriptedServer(status(200)) as server:
        silent, half = connect(server), connect(server)
        half.sendall(REQUEST[:20])
        time.sleep(0.05)
    silent.close()
    half.close()


def test_twice_is_once_and_never_started_is_nothing():
    server = ScriptedServer(status(200))
    server.close()
    server = ScriptedServer(status(200)).start()
    server.close()
    server.close()


def test_it_is_started_once():
    server = ScriptedServer(status(200))
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = server.url
    with server, pytest.raises(RuntimeError, match="started once"):
        server.start()


def test_nobody_listens_then():
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

    @pytest.mark.parametrize("given", ["files", "context"])
    def test_it_is_spoken(self, certificate, context, given):
        tls = certificate
        if given == "context":
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(*certificate)
        with ScriptedServer(answer(b"abc", Pause(0.05), framing="close"), tls=tls) as server:
            assert server.url.startswith("https://")
            with context.wrap_socket(connect(server), server_hostname="127.0.0.1") as sock:
                # Not to be told goodbye would be an error.
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

    def test_closing(self, certificate, context):
        with ScriptedServer(answer(b"abc", Hang()), tls=certificate) as server:
            silent = connect(server)
            hanging = context.wrap_socket(connect(server), server_hostname="127.0.0.1")
            hanging.sendall(REQUEST)
            server.request()
            started = time.monotonic()
        assert time.monotonic() - started < 2
        silent.close()
        hanging.close()

    def test_a_client_that_trusts_nobody(self, certificate):
        with ScriptedServer(status(200), tls=certificate) as server:
            sock = connect(server)
            with pytest.raises(ssl.SSLCertVerificationError):
                ssl.create_default_context().wrap_socket(sock, server_hostname="127.0.0.1")
            sock.close()
            assert server.wait_until_left(1)
        assert server.requests == []
