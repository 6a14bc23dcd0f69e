"""The server that all clients are measured against, in a process of its own.

    python -m benchmarks.server '{"tokens": 1000, "interval": 0.001}'

It writes its port to standard output. It is one loop over epoll, and all answers are encoded
beforehand, so that the server costs little. `GET /stats` says whether it kept up.
"""

from __future__ import annotations

import heapq
import json
import resource
import select
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field

from benchmarks import wire

# Tokens in an answer that is not a stream.
WHOLE_TOKENS = 100


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a stream is answered.

    Attributes:
        tokens: The number of tokens.
        interval: Seconds between tokens; 0 for all at once.
        holds: Whether the stream stays open after its first token without a further token.
        streams: How many streams continue together: the first token is sent at once, the second
            when this many streams have their first. Otherwise a client that is slow to connect
            would find many tokens waiting, read them at once, and look cheap.
    """

    tokens: int
    interval: float = 0.0
    holds: bool = False
    streams: int = 1


@dataclass(eq=False)
class Connection:
    """One connection."""

    sock: socket.socket
    received: bytes = b""
    unsent: bytearray = field(default_factory=bytearray)
    chunks: list[bytes] = field(default_factory=list)
    next: int = 0


class Server:
    """Answers until it is killed."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        kinds = {"tgi": wire.encode_tgi_events, "completions": wire.encode_completions_events}
        self._streams = {kind: make(plan.tokens) for kind, make in kinds.items()}
        self._bursts = {kind: _encode_burst(chunks) for kind, chunks in self._streams.items()}
        self._brief = {kind: _encode_burst(make(2)) for kind, make in kinds.items()}
        self._whole = {
            "/info": wire.encode_response(wire.INFO),
            "/": wire.encode_response([wire.make_answer(WHOLE_TOKENS, details=False)]),
            "/generate": wire.encode_response(wire.make_answer(WHOLE_TOKENS, details=False)),
            "/v1/completions": wire.encode_response(wire.make_completion(WHOLE_TOKENS)),
        }
        # For requests with details, which one client always sends.
        self._detailed = {"/": wire.encode_response([wire.make_answer(WHOLE_TOKENS, details=True)])}
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._scheduled: list[tuple[float, int, Connection]] = []
        # Streams that have their first token and wait for the other streams.
        self._started: list[Connection] = []
        self._order = 0
        self._delays: list[float] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self._listener.setblocking(False)
        self._epoll.register(self._listener, select.EPOLLIN)
        self.port = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Serve."""
        while True:
            wait = max(0.0, self._scheduled[0][0] - time.monotonic()) if self._scheduled else None
            # Not epoll's own time limit, which is in whole milliseconds.
            select.select([self._epoll], [], [], wait)
            for number, event in self._epoll.poll(0):
                if number == self._listener.fileno():
                    self._accept()
                elif (connection := self._connections.get(number)) is not None:
                    if event & select.EPOLLOUT:
                        self._flush(connection)
                    if event & ~select.EPOLLOUT:
                        self._receive(connection)
            now = time.monotonic()
            while self._scheduled and self._scheduled[0][0] <= now:
                due, _, connection = heapq.heappop(self._scheduled)
                self._delays.append(now - due)
                self._send_token(connection, due)

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            while True:
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connections[sock.fileno()] = Connection(sock)
                self._epoll.register(sock, select.EPOLLIN)

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return
        connection.received += data
        head, separator, body = connection.received.partition(b"\r\n\r\n")
        if not separator:
            return
        size = 0
        for header in head.lower().split(b"\r\n")[1:]:
            name, _, value = header.partition(b":")
            if name == b"content-length":
                size = int(value)
        if len(body) < size:
            return
        connection.received = body[size:]
        self._answer(connection, head.split(b" ", 2)[1].decode(), body[:size].replace(b" ", b""))

    def _answer(self, connection: Connection, path: str, body: bytes) -> None:
        path = "/" + path.strip("/")
        is_stream = b'"stream":true' in body or path == "/generate_stream"
        is_brief = wire.WARM_UP.replace(" ", "").encode() in body
        kind = "completions" if path == "/v1/completions" else "tgi"
        if path == "/stats":
            self._send(connection, wire.encode_response(self._stats()))
        elif not is_stream:
            answers = self._detailed if b'"details":true' in body else self._whole
            self._send(connection, answers.get(path, answers["/"]))
        elif is_brief:
            self._send(connection, self._brief[kind])
        elif self._plan.interval or self._plan.holds:
            connection.chunks, connection.next = self._streams[kind], 1
            self._send(connection, wire.STREAM_HEAD + connection.chunks[0])
            if not self._plan.holds:
                self._started.append(connection)
                if len(self._started) == self._plan.streams:
                    self._continue_streams()
        else:
            self._send(connection, self._bursts[kind])

    def _continue_streams(self) -> None:
        """Schedule the second tokens of all started streams, spread over the first interval."""
        now, interval = time.monotonic(), self._plan.interval
        for number, connection in enumerate(self._started):
            self._schedule(connection, now + interval * (1 + number / len(self._started)))
        self._started.clear()

    def _schedule(self, connection: Connection, due: float) -> None:
        self._order += 1
        heapq.heappush(self._scheduled, (due, self._order, connection))

    def _send_token(self, connection: Connection, due: float) -> None:
        if connection.sock.fileno() < 0:
            return
        chunk = connection.chunks[connection.next]
        connection.next += 1
        if connection.next < len(connection.chunks):
            self._send(connection, chunk)
            self._schedule(connection, due + self._plan.interval)
        else:
            self._send(connection, chunk + wire.END)

    def _send(self, connection: Connection, data: bytes) -> None:
        if not connection.unsent:
            try:
                data = data[connection.sock.send(data) :]
            except BlockingIOError:
                pass
            except OSError:
                self._drop(connection)
                return
            if not data:
                return
            self._epoll.modify(connection.sock, select.EPOLLIN | select.EPOLLOUT)
        connection.unsent += data

    def _flush(self, connection: Connection) -> None:
        try:
            del connection.unsent[: connection.sock.send(connection.unsent)]
        except BlockingIOError:
            return
        except OSError:
            self._drop(connection)
            return
        if not connection.unsent:
            self._epoll.modify(connection.sock, select.EPOLLIN)

    def _drop(self, connection: Connection) -> None:
        self._connections.pop(connection.sock.fileno(), None)
        # A dropped stream must not count among the streams that the next clients begin.
        if connection in self._started:
            self._started.remove(connection)
        connection.sock.close()

    def _stats(self) -> dict[str, float]:
        """Return how late tokens were since the last call, and the CPU time of this process."""
        delays, self._delays = sorted(self._delays), []
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "late_ms": delays[len(delays) // 2] * 1000 if delays else 0.0,
            "cpu": usage.ru_utime + usage.ru_stime,
        }


def _encode_burst(chunks: list[bytes]) -> bytes:
    return wire.STREAM_HEAD + b"".join(chunks) + wire.END


def main() -> None:
    """Serve the plan that the command line holds."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    server = Server(Plan(**json.loads(sys.argv[1])))
    print(server.port, flush=True)
    server.serve()


if __name__ == "__main__":
    main()
