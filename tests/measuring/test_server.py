"""The server that the clients are measured on: its streams go on together."""

import json
import socket

from benchmarks.server import Plan
from benchmarks.servers import start_scripted_server

PLAN = Plan(tokens=3, interval=0.01, streams=2)


def begin_stream(port):
    """Return a connection that asks for a stream, when the first token has come."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    body = json.dumps({"inputs": "hi", "stream": True}).encode()
    head = f"POST /generate_stream HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n\r\n"
    sock.sendall(head.encode() + body)
    return sock, sock.recv(65536)


def read_rest(sock, data):
    while not data.endswith(b"0\r\n\r\n"):
        piece = sock.recv(65536)
        assert piece, data
        data += piece
    return data


def test_a_client_that_left_is_not_counted_among_the_next_ones():
    with start_scripted_server(PLAN) as location:
        port = int(location["address"].rpartition(":")[2])
        closed, _ = begin_stream(port)
        closed.close()
        first, second = begin_stream(port), begin_stream(port)
        for sock, data in (first, second):
            with sock:
                assert read_rest(sock, data).count(b"data:") == 3
