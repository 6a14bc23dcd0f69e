"""A little HTTP proxy on loopback: CONNECT, and requests with the whole URL."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from urllib.parse import urlsplit


class LittleProxy:
    """Forwards what it is sent, and records it.

    Args:
        authorization: What `proxy-authorization` must be, None for anything.
        refuse: Answer every request with this status.
        silent: Accept connections, and say nothing.
        resolve: Names that it knows, to addresses: `{"api.example": ("127.0.0.1", 80)}`.
        tls: A context, to speak TLS with its clients.
    """

    def __init__(self, *, authorization=None, refuse=None, silent=False, resolve=None, tls=None):
        self._authorization = authorization
        self._refuse = refuse
        self._silent = silent
        self._resolve = resolve or {}
        self._tls = tls
        self._threads = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._bell, self._rope = socket.socketpair()
        self.port = self._listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        self.heads = []
        self.accepted = 0
        self.left = threading.Event()

    def __enter__(self):
        self._spawn(self._accept)
        return self

    def __exit__(self, *_):
        self._rope.close()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()
        self._listener.close()
        self._bell.close()

    @property
    def asked(self):
        """The first lines of the requests."""
        return [head.partition("\r\n")[0] for head in self.heads]

    def _spawn(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _readable(self, *sockets):
        pending = [s for s in sockets if getattr(s, "pending", int)()]
        found = pending or select.select([*sockets, self._bell], [], [])[0]
        return [] if self._bell in found else found

    def _accept(self):
        while self._readable(self._listener):
            connection, _ = self._listener.accept()
            self.accepted += 1
            self._spawn(self._serve, connection)

    def _serve(self, connection):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(self.left.set)
            stack.enter_context(connection)
            if self._tls is not None:
                connection = stack.enter_context(
                    self._tls.wrap_socket(connection, server_side=True)
                )
            if self._silent:
                while self._readable(connection) and connection.recv(65536):
                    pass
                return
            buffer = b""
            while buffer is not None and (read := self._head(connection, buffer)) is not None:
                buffer = self._handle(connection, *read)

    def _head(self, connection, buffer):
        while b"\r\n\r\n" not in buffer:
            if not self._readable(connection) or not (piece := connection.recv(65536)):
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
            said = f"HTTP/1.1 {refusal}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            connection.sendall(said.encode())
            return None
        method, target, _ = first.split(" ")
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            with self._upstream(host, int(port)) as upstream:
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                if rest:
                    upstream.sendall(rest)
                self._pump(connection, upstream)
            return None
        url = urlsplit(target)
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        kept = [line for line in lines if not line.lower().startswith("proxy-")]
        length = int(headers.get("content-length", 0))
        while len(rest) < length:
            rest += connection.recv(65536)
        with self._upstream(url.hostname, url.port or 80) as upstream:
            new = "\r\n".join([f"{method} {path} HTTP/1.1", *kept]).encode("latin-1")
            upstream.sendall(new + b"\r\n\r\n" + rest)
            return self._pump(connection, upstream, until_asked=True)

    def _upstream(self, host, port):
        return socket.create_connection(self._resolve.get(host, (host.strip("[]"), port)))

    def _pump(self, one, other, *, until_asked=False):
        """Carry bytes both ways until either side is through, or the client asks once more."""
        while found := self._readable(one, other):
            for source in found:
                if not (piece := source.recv(65536)):
                    return None
                if until_asked and source is one:
                    return piece
                (other if source is one else one).sendall(piece)
        return None
