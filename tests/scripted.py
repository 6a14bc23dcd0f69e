"""A server on a real socket that answers what a script says: what real ones won't do on demand."""

from __future__ import annotations

import json
import select
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003
from typing import Any, Self


@dataclass(frozen=True)
class Pause:
    """Send nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Cut:
    """Close the connection here and now; with `reset`, by a TCP reset."""

    reset: bool = False


@dataclass(frozen=True)
class Hang:
    """Send nothing more until the client hangs up."""


Step = bytes | Pause | Cut | Hang


@dataclass(frozen=True)
class Answer:
    """What to answer to one request; each bytes of the body is a chunk, sent by itself."""

    body: tuple[Step, ...]
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    framing: str = "chunked"  # or "length", or "close", or "raw": the body is all that is sent


@dataclass
class Request:
    """What the server was asked; `hung_up` is set when the client left before the end."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    hung_up: threading.Event = field(default_factory=threading.Event)
    connection: int = 0  # counted from 1

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def answer(*body: Step, status: int = 200, framing: str = "chunked", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(body, status, named, framing)


def events(*steps: Step | dict, framing: str = "chunked", **headers: str) -> Answer:
    """A stream: each mapping is an event, other steps stand for themselves."""
    body = tuple(event(step) if isinstance(step, dict) else step for step in steps)
    return answer(*body, framing=framing, content_type="text/event-stream", **headers)


def as_json(value: object, status: int = 200, **headers: str) -> Answer:
    body = json.dumps(value).encode()
    headers = {"content_type": "application/json", **headers}
    return answer(body, status=status, framing="length", **headers)


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def token(text: str, *, special: bool = False, last: str | None = None, index: int = 1) -> dict:
    return {
        "index": index,
        "token": {"id": 7, "text": text, "logprob": -0.5, "special": special},
        "generated_text": last,
        "details": None,
    }


class ScriptedServer:
    """Answers the requests in their order; the last answer is given again and again."""

    def __init__(self, *script: Answer, tls: tuple[Path, Path] | None = None) -> None:
        self._script = script
        self._tls = None
        if tls is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*tls)
        self._given = 0
        self._asked = threading.Condition()
        self._stop = threading.Event()
        # Readable once the server is to stop.
        self._bell, self._rope = socket.socketpair()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.requests: list[Request] = []
        self.connections = 0
        self._left = 0
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._rope.close()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()
        self._bell.close()

    def request(self, index: int = 0) -> Request:
        """Wait for a request, and return it."""
        with self._asked:
            assert self._asked.wait_for(lambda: len(self.requests) > index, timeout=10)
            return self.requests[index]

    def wait_until_left(self, count: int) -> bool:
        """Wait until so many connections have come to their end; return whether they have."""
        with self._asked:
            return self._asked.wait_for(lambda: self._left >= count, timeout=10)

    def _spawn(self, target: Any, *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stop.is_set():
            if not self._readable(self._listener):
                return
            connection, _ = self._listener.accept()
            self.connections += 1
            self._spawn(self._serve, connection, self.connections)

    def _serve(self, connection: socket.socket, number: int) -> None:
        self._talk(connection, number)
        with self._asked:
            self._left += 1
            self._asked.notify_all()

    def _talk(self, connection: socket.socket, number: int) -> None:
        if self._tls is not None:
            try:
                connection = self._tls.wrap_socket(connection, server_side=True)
            except OSError:
                connection.close()
                return
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            buffer = b""
            while not self._stop.is_set():
                while b"\r\n\r\n" not in buffer:
                    if not (piece := self._receive(connection)):
                        return
                    buffer += piece
                head, buffer = buffer.split(b"\r\n\r\n", 1)
                first, *lines = head.decode("latin-1").split("\r\n")
                headers = {n.lower(): v for n, v in (line.split(": ", 1) for line in lines)}
                length = int(headers.get("content-length", 0))
                while len(buffer) < length:
                    if not (piece := self._receive(connection)):
                        return
                    buffer += piece
                body, buffer = buffer[:length], buffer[length:]
                method, path, _ = first.split(" ")
                request = Request(method, path, headers, body, connection=number)
                with self._asked:
                    self.requests.append(request)
                    chosen = self._script[min(self._given, len(self._script) - 1)]
                    self._given += 1
                    self._asked.notify_all()
                try:
                    if not self._send(connection, request, chosen):
                        return
                except OSError:
                    request.hung_up.set()
                    return

    def _receive(self, connection: socket.socket) -> bytes:
        try:
            return connection.recv(65536) if self._readable(connection) else b""
        except OSError:
            return b""

    def _send(self, connection: socket.socket, request: Request, chosen: Answer) -> bool:
        """Send the answer; return whether the connection may serve another request."""
        headers = dict(chosen.headers)
        if chosen.framing == "chunked":
            headers["transfer-encoding"] = "chunked"
        elif chosen.framing == "length":
            headers["content-length"] = str(sum(len(s) for s in chosen.body if type(s) is bytes))
        else:
            headers["connection"] = "close"
        if chosen.framing != "raw":
            fields = [f"{name}: {value}" for name, value in headers.items()]
            head = "\r\n".join([f"HTTP/1.1 {chosen.status} Scripted", *fields])
            connection.sendall(head.encode("latin-1") + b"\r\n\r\n")
        for step in chosen.body:
            if isinstance(step, bytes):
                chunk = b"%x\r\n%b\r\n" % (len(step), step)
                connection.sendall(chunk if chosen.framing == "chunked" else step)
            elif isinstance(step, Cut):
                if step.reset:
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return False
            elif not self._idle(connection, step.seconds if isinstance(step, Pause) else None):
                request.hung_up.set()
                return False
        if chosen.framing == "chunked":
            connection.sendall(b"0\r\n\r\n")
        return chosen.framing in {"chunked", "length"}

    def _idle(self, connection: socket.socket, seconds: float | None) -> bool:
        """Do nothing for so long; return False when the client has hung up meanwhile."""
        end = None if seconds is None else time.monotonic() + seconds
        while (left := None if end is None else end - time.monotonic()) is None or left > 0:
            if not self._readable(connection, left):
                return not self._stop.is_set()
            try:
                # TLS has no peeking, and its tests no second request on a connection.
                if not connection.recv(1, 0 if self._tls else socket.MSG_PEEK):
                    return False
            except OSError:
                return False
            # It has sent something more; that is for later.
            time.sleep(0.01)
        return True

    def _readable(self, connection: socket.socket, seconds: float | None = None) -> bool:
        """Wait until there is something to read; return False if the server stops, or in time."""
        found = select.select([connection, self._bell], [], [], seconds)[0]
        return connection in found and not self._stop.is_set()
