"""The connections of the sync side, on the wire."""

import socket
import threading
import time

from hfgen import Client, Timeout
from hfgen.testing import generated


def test_headers_and_body_are_sent_together():
    """Else they are two packets, two records of TLS, and a system call more."""
    answer = b'[{"generated_text": "ok"}]'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    first_reads = []

    def serve():
        connection, _ = listener.accept()
        with connection:
            for _ in range(5):
                first_reads.append(connection.recv(100_000))
                connection.sendall(head % len(answer) + answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve)
        server.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/generate"
        with Client(api_url=url, timeout=10, max_retries=0) as client:
            for number in range(5):
                assert client.run(f"prompt {number}")[0].generated_text == "ok"
        server.join()
    for number, data in enumerate(first_reads):
        assert data.startswith(b"POST /generate HTTP/1.1\r\n")
        head, _, body = data.partition(b"\r\n\r\n")
        assert b'"prompt %d"' % number in body
        assert b"content-length: %d\r\n" % len(body) in head.lower() + b"\r\n"


def test_a_body_of_any_size_arrives_whole(serve):
    sizes = []

    def answered(request):
        sizes.append(len(request.json["inputs"]))
        return generated("ok")

    server = serve(answered)
    with Client(api_url=server.url) as client:
        for size in (1, 60_000, 70_000, 3_000_000):
            client.run("x" * size)
    assert sizes == [1, 60_000, 70_000, 3_000_000]


def test_the_limit_for_connecting_does_not_apply_to_sending():
    size = 30_000_000
    answer = b'HTTP/1.1 200 OK\r\ncontent-length: 26\r\n\r\n[{"generated_text": "ok"}]'

    def serve():
        connection, _ = listener.accept()
        with connection:
            # The body is larger than the buffers of both sockets, so that the client has to wait.
            time.sleep(0.5)
            left = size
            while left > 0:
                left -= len(connection.recv(1_000_000))
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve)
        server.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/generate"
        with Client(api_url=url, timeout=Timeout(connect=0.1), max_retries=0) as client:
            assert client.run("x" * size)[0].generated_text == "ok"
        server.join()
