"""Raw connections to a scripted server: a test sends its own bytes."""

import http.client
import socket
from contextlib import contextmanager

REQUEST = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"


@contextmanager
def connect_raw(server, timeout=10):
    """Open a socket to the server, on which a test sends its own bytes."""
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
