"""A small HTTP proxy on loopback: CONNECT, and requests with the whole URL."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from urllib.parse import urlsplit


class LittleProxy:
    """Forwards requests, and records their heads.

    Args:
        authorization: The value that `proxy-authorization` must have; None for any.
        refuse: The status with which every request is answered; None to forward.
        silent: Whether it accepts connections and sends nothing.
        resolve: Addresses by host name: `{"api.example": ("127.0.0.1", 80)}`.
        tls: The context for TLS with its clients; None for plain HTTP.

    Attributes:
        heads: The heads of the requests.
        accepted: The number of connections.
        client_left: Set when a connection has ended.
    """

    def __init__(self, *, authorization=None, refuse=None, silent=False, resolve=None, tls=None):
        self._authorization = authorization
        self._refuse = refuse
        self._silent = silent
        self._resolve = resolve or {}
        self._tls = tls
        self._threads = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._wake_reader, self._wake_writer = socket.socketpair()
        self.port = self._listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        self.heads = []
        self.accepted = 0
        self.client_left = threading.Event()

    def __enter__(self):
        self._start_thread(self._accept)
        return self

    def __exit__(self, *_):
        self._wake_writer.close()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()
        self._listener.close()
        self._wake_reader.close()

    @property
    def request_lines(self):
        """The first lines of the requests."""
        return [head.partition("\r\n")[0] for head in self.heads]

    def _start_thread(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _wait_readable(self, *sockets):
        pending = [s for s in sockets if getattr(s, "pending", int)()]
        ready = pending or select.select([*sockets, self._wake_reader], [], [])[0]
        return [] if self._wake_reader in ready else ready

    def _accept(self):
        while self._wait_readable(self._listener):
            connection, _ = self._listener.accept()
            self.accepted += 1
            self._start_thread(self._serve, connection)

    def _serve(self, connection):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(self.client_left.set)
            stack.enter_context(connection)
            if self._tls is not None:
                connection = stack.enter_context(
                    self._tls.wrap_socket(connection, server_side=True)
                )
            if self._silent:
                while self._wait_readable(connection) and connection.recv(65536):
                    pass
                return
            buffer = b""
            while (
                buffer is not None and (request := self._read_head(connection, buffer)) is not None
            ):
                buffer = self._handle(connection, *request)

    def _read_head(self, connection, buffer):
        while b"\r\n\r\n" not in buffer:
            if not self._wait_readable(connection) or not (piece := connection.recv(65536)):
                return None
            buffer += piece
        head, rest = buffer.split(b"\r\n\r\n", 1)
        return head.decode("latin-1"), rest

    def _handle(self, connection, head, rest):
        self.heads.append(head)
        first, *lines = head.split("\r\n")
        headers = {n.lower(): v for n, v in (line.split(": ", 1) for line in lines)}
        refusal = self._refuse
        if self._authorization not in {None, headers.get("proxy-authorization")}:
            refusal = "407 Proxy Authentication Required"
        if refusal:
            answer = f"HTTP/1.1 {refusal}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            connection.sendall(answer.encode())
            return None
        method, target, _ = first.split(" ")
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            with self._connect_upstream(host, int(port)) as upstream:
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                if rest:
                    upstream.sendall(rest)
                self._pump(connection, upstream)
            return None
        url = urlsplit(target)
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        forwarded_lines = [line for line in lines if not line.lower().startswith("proxy-")]
        length = int(headers.get("content-length", 0))
        while len(rest) < length:
            rest += connection.recv(65536)
        with self._connect_upstream(url.hostname, url.port or 80) as upstream:
            new = "\r\n".join([f"{method} {path} HTTP/1.1", *forwarded_lines]).encode("latin-1")
            upstream.sendall(new + b"\r\n\r\n" + rest)
            return self._pump(connection, upstream, until_next_request=True)

    def _connect_upstream(self, host, port):
        return socket.create_connection(self._resolve.get(host, (host.strip("[]"), port)))

    def _pump(self, client, upstream, *, until_next_request=False):
        """Carry bytes both ways until one side closes; return the client's next request, if any."""
        while ready := self._wait_readable(client, upstream):
            for source in ready:
                if not (piece := source.recv(65536)):
                    return None
                if until_next_request and source is client:
                    return piece
                (upstream if source is client else client).sendall(piece)
        return None
