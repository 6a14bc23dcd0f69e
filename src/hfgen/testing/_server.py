"""The scripted server: a listener with a thread of its own, and a thread for each connection.

`start` opens the listener. Its thread accepts connections until `close`, and starts a thread for
each, which runs `serve_connection`. `close` wakes the listener's thread through a socket pair,
shuts all connections down, and waits until every thread has ended.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias

from hfgen.testing._connection import Connection, serve_connection
from hfgen.testing._discovery import check_speaks
from hfgen.testing._record import Record, Script

if TYPE_CHECKING:
    import os
    import ssl
    from collections.abc import Callable
    from types import TracebackType

    from hfgen.testing._discovery import Speaks
    from hfgen.testing._record import Scripted
    from hfgen.testing._request import RecordedRequest

    _Path: TypeAlias = str | os.PathLike[str]

_BACKLOG = 256
_TIMEOUT = 10.0  # seconds


class ScriptedServer:
    """An HTTP server on a real socket of this machine that answers what a script says.

    It is a context manager: it listens inside the `with` block, and at its end closes every socket
    and ends every thread. The script counts requests in the order in which they arrive, over all
    connections together. Each connection has a thread of its own and is kept alive.

    Args:
        script: The answers in their order. A function is called with the `RecordedRequest` and
            returns the answer. Once the script is at its end, its last answer is repeated.
        strict: Whether a request after the last answer gets a 500 and makes `check` fail, in place
            of the last answer again. Default: False.
        tls: To serve HTTPS: the paths of the certificate and of its key, both in PEM, or an
            `ssl.SSLContext`. Default: None, plain HTTP.
        speaks: Which API the server says that it has when a client asks (`GET /info` and
            `GET /v1/models`, before its first request); these questions take no answer from the
            script and are not recorded. None: they are requests like all others. Default: "tgi".

    Raises:
        TypeError: An answer is neither a `ScriptedAnswer` nor a function.
        ValueError: The script is empty and not strict, or `speaks` is not one of `Speaks`.
    """

    def __init__(
        self,
        *script: Scripted,
        strict: bool = False,
        tls: tuple[_Path, _Path] | ssl.SSLContext | None = None,
        speaks: Speaks | None = "tgi",
    ) -> None:
        check_speaks(speaks)
        self._record = Record(Script(script, strict=strict), speaks)
        self._tls = _create_context(*tls) if isinstance(tls, tuple) else tls
        self._url: str | None = None
        # Connections that may still be open, each with the thread that serves it.
        self._served: list[tuple[Connection, threading.Thread]] = []
        self._stack = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """The URL of the server, as in "http://127.0.0.1:40123".

        Raises:
            RuntimeError: The server has not been started.
        """
        if self._url is None:
            raise RuntimeError("the server has not been started: use it in a `with` statement")
        return self._url

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests so far, in the order in which they arrived."""
        return self._record.requests

    @property
    def connections(self) -> int:
        """How many connections were accepted so far."""
        return self._record.connections

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return self._record.open_connections

    def start(self) -> Self:
        """Begin to listen, and return the server; `with` calls this.

        Raises:
            RuntimeError: The server has been started before.
        """
        if self._url is not None:
            raise RuntimeError("a scripted server is started once")
        listener = self._stack.enter_context(
            socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        )
        # A client may hang up before it is accepted; accepting must not block then.
        listener.setblocking(False)
        # Closing the writer makes the reader readable, which wakes the listener's thread.
        wake_reader, wake_writer = socket.socketpair()
        self._stack.enter_context(wake_reader)
        scheme = "http" if self._tls is None else "https"
        self._url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        acceptor = _start_thread(self._accept_connections, listener, wake_reader)
        self._stack.callback(acceptor.join)
        self._stack.callback(wake_writer.close)
        return self

    def close(self) -> None:
        """Stop listening, and close every connection, also in the middle of an answer.

        When this returns, no socket of the server is open and none of its threads is running.
        Closing a server that is closed, or was never started, does nothing.

        Raises:
            RuntimeError: A function of the script has not returned within 10 s.
        """
        self._record.stopped = True
        self._stack.close()
        for connection, _ in self._served:
            connection.shut_down()
        for _, thread in self._served:
            thread.join(_TIMEOUT)
            if thread.is_alive():
                raise RuntimeError("a function in the script of a scripted server does not return")
        self._served.clear()

    def check(self) -> None:
        """Do nothing if all requests were answered as the script says.

        `with` and the fixture `scripted_server` call this at their end.

        Raises:
            AssertionError: A strict server got more requests than its script has answers, or a
                function of the script failed.
        """
        self._record.script.check()

    def request(self, index: int = 0, *, timeout: float = _TIMEOUT) -> RecordedRequest:
        """Wait until a request has arrived, and return it.

        Args:
            index: Which request, counted from 0.
            timeout: Seconds to wait at most.

        Raises:
            TimeoutError: The request has not arrived in time.
        """
        if not self._record.wait_for(lambda: len(self.requests) > index, timeout):
            raise TimeoutError(
                f"after {timeout:g} s the server has {len(self.requests)} requests, "
                f"and none with the index {index}"
            )
        return self.requests[index]

    def wait_until_idle(self, timeout: float = _TIMEOUT) -> bool:
        """Wait until no answer is being sent: each has been sent, cut, or left by its client.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether no answer is being sent; False after the timeout.
        """
        return self._record.wait_for(lambda: self._record.answering == 0, timeout)

    def wait_until_left(self, count: int | None = None, *, timeout: float = _TIMEOUT) -> bool:
        """Wait until connections have been closed, by the client or by the server.

        Args:
            count: How many connections have to be closed, of all that were accepted; None to wait
                until no connection is open.
            timeout: Seconds to wait at most.

        Returns:
            Whether that many are closed; False after the timeout.
        """
        record = self._record
        if count is None:
            return record.wait_for(lambda: record.open_connections == 0, timeout)
        return record.wait_for(
            lambda: record.connections - record.open_connections >= count, timeout
        )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        # An error of the block explains more than what the server saw of it.
        if error is None:
            self.check()

    def __repr__(self) -> str:
        url = self._url or "not started"
        return f"<ScriptedServer {url}, {len(self.requests)} requests>"

    def _accept_connections(self, listener: socket.socket, wake_reader: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(wake_reader, selectors.EVENT_READ)
            while not any(key.fileobj is wake_reader for key, _ in selector.select()):
                try:
                    self._start_serving(listener.accept()[0])
                except OSError:
                    # The client has hung up already, or the process has too many open files.
                    time.sleep(0.01)

    def _start_serving(self, sock: socket.socket) -> None:
        try:
            connection = Connection(sock, self._record.connections + 1, self._tls)
        except OSError:
            sock.close()
            return
        self._record.add_connection()
        self._served = [served for served in self._served if served[1].is_alive()]
        self._served.append((connection, _start_thread(self._serve, connection)))

    def _serve(self, connection: Connection) -> None:
        try:
            serve_connection(connection, self._record)
        finally:
            self._record.remove_connection()


class StartServer(Protocol):
    """The type of the fixture `scripted_server`: a function that starts a `ScriptedServer`."""

    def __call__(
        self,
        *script: Scripted,
        strict: bool = False,
        tls: tuple[_Path, _Path] | ssl.SSLContext | None = None,
        speaks: Speaks | None = "tgi",
    ) -> ScriptedServer:
        """Start a server, which is closed and checked after the test.

        Args:
            script: The answers in their order, as for `ScriptedServer`.
            strict: Whether a request after the last answer fails the test. Default: False.
            tls: The paths of the certificate and of its key, or an `ssl.SSLContext`. Default: None,
                plain HTTP.
            speaks: Which API the server says that it has. Default: "tgi".
        """


def _start_thread(target: Callable[..., None], *args: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=args, name="hfgen-scripted", daemon=True)
    thread.start()
    return thread


def _create_context(certificate: _Path, key: _Path) -> ssl.SSLContext:
    # Imported here because most scripted servers speak no TLS.
    import ssl  # noqa: PLC0415

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
