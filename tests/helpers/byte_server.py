"""A server that sends bytes of a test's choice, which need not be HTTP."""

import json
import socket
import threading
from contextlib import contextmanager, suppress
from itertools import count


def http(text):
    """Return an answer with this text, as bytes."""
    body = json.dumps([{"generated_text": text}]).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def read_request(file):
    """Return whether there was one."""
    length = 0
    for line in iter(file.readline, b"\r\n"):
        if not line:
            return False
        name, _, value = line.lower().partition(b":")
        length = int(value) if name == b"content-length" else length
    return len(file.read(length)) == length


class _Server:
    """Calls `answer(connection, number)` for each request of a connection, until that says False.

    Attributes:
        numbers: For each request, its number on its connection.
    """

    def __init__(self, answer):
        self.numbers = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/generate"
        self._connections = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self):
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection):
        # A client resets a connection on which unexpected bytes have arrived.
        with suppress(ConnectionError), connection, connection.makefile("rb") as file:
            for number in count(1):
                if not read_request(file):
                    return
                self.numbers.append(number)
                if self._answer(connection, number) is False:
                    return

    def close(self):
        for sock in (self._listener, *self._connections):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()


@contextmanager
def serving(answer):
    """Run the server; yield its URL, and for each request its number on its connection."""
    server = _Server(answer)
    try:
        yield server.url, server.numbers
    finally:
        server.close()
