"""The server that the clients are measured on: its streams go on together."""

import json
import socket

from benchmarks.server import Plan
from benchmarks.servers import scripted

PLAN = Plan(tokens=3, interval=0.01, streams=2)


def begun(port):
    """Return a connection that asks for a stream, when the first token has come."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    body = json.dumps({"inputs": "hi", "stream": True}).encode()
    head = f"POST /generate_stream HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n\r\n"
    sock.sendall(head.encode() + body)
    return sock, sock.recv(65536)


def rest(sock, data):
    while not data.endswith(b"0\r\n\r\n"):
        piece = sock.recv(65536)
        assert piece, data
        data += piece
    return data


def test_one_that_left_is_not_counted_among_those_that_come_next():
    with scripted(PLAN) as place:
        port = int(place["address"].rpartition(":")[2])
        left, _ = begun(port)
        left.close()
        one, other = begun(port), begun(port)
        for sock, data in (one, other):
            with sock:
                assert rest(sock, data).count(b"data:") == 3
