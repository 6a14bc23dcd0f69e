"""The scripted server: a listener, a thread for each connection, and the record."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias

from hfgen.testing import _discovery as _speaks
from hfgen.testing._connection import Line
from hfgen.testing._conversation import converse
from hfgen.testing._record import Ledger
from hfgen.testing._script import Script

if TYPE_CHECKING:
    import os
    import ssl
    from collections.abc import Callable
    from types import TracebackType

    from hfgen.testing._discovery import Speaks
    from hfgen.testing._request import RecordedRequest
    from hfgen.testing._script import Scripted

    _File: TypeAlias = str | os.PathLike[str]

_BACKLOG = 256
_PATIENCE = 10.0


class ScriptedServer:
    """An HTTP server on a real socket of this machine that answers what a script says.

    It is a context manager, listening inside of it and leaving nothing behind. Requests are
    answered in the order in which they come, over whatever connection, each connection by a
    thread of its own; connections are kept alive.

    Args:
        script: The answers in their order, or functions that make one of the request. The last
            one is given again and again.
        strict: Whether a request beyond the last answer is refused with a 500, and `check` fails.
        tls: To speak TLS, the files of the certificate and of its key (in PEM), or a context.
        speaks: What it says that it speaks: clients ask (`GET /info`, `GET /v1/models`) before
            their first request. Such questions are neither in the script nor in the record. None:
            they are, as all others.

    Raises:
        TypeError: An answer is none.
        ValueError: There are no answers, and it is not strict; or there is no such server.
    """

    def __init__(
        self,
        *script: Scripted,
        strict: bool = False,
        tls: tuple[_File, _File] | ssl.SSLContext | None = None,
        speaks: Speaks | None = "tgi",
    ) -> None:
        _speaks.check(speaks)
        self._ledger = Ledger(Script(script, strict=strict), speaks)
        self._tls = _context(tls) if isinstance(tls, tuple) else tls
        self._url: str | None = None
        self._threads: list[threading.Thread] = []
        self._stack = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """Where it listens, as in "http://127.0.0.1:40123".

        Raises:
            RuntimeError: It has not been started.
        """
        if self._url is None:
            raise RuntimeError("the server has not been started: use it in a `with` statement")
        return self._url

    @property
    def requests(self) -> list[RecordedRequest]:
        """What it has been asked so far, in order."""
        return self._ledger.requests

    @property
    def connections(self) -> int:
        """How many connections it has accepted so far."""
        return self._ledger.connections

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._ledger.lines)

    def start(self) -> Self:
        """Begin to listen; `with` does so.

        Raises:
            RuntimeError: It has been started before.
        """
        if self._url is not None:
            raise RuntimeError("a scripted server is started once")
        listener = self._stack.enter_context(
            socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        )
        # A client may be gone again before it is accepted.
        listener.setblocking(False)
        # The bell is readable once the server is to stop.
        bell, rope = socket.socketpair()
        self._stack.enter_context(bell)
        scheme = "http" if self._tls is None else "https"
        self._url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        acceptor = _thread(self._accept, listener, bell)
        self._stack.callback(acceptor.join)
        self._stack.callback(rope.close)
        return self

    def close(self) -> None:
        """Close every connection, whatever goes on over it, and stop listening.

        When it returns no socket is open and no thread is left.

        Raises:
            RuntimeError: A function of the script does not return.
        """
        self._ledger.stop()
        self._stack.close()
        for line in self._ledger.lines:
            line.shut_down()
        for thread in self._threads:
            thread.join(_PATIENCE)
            if thread.is_alive():
                raise RuntimeError("a function in the script of a scripted server does not return")
        self._threads.clear()

    def check(self) -> None:
        """Do nothing if all went by the script; `with` and the fixture call it at the end.

        Raises:
            AssertionError: A strict server was asked for more than its script has, or a function
                of the script failed.
        """
        self._ledger.script.check()

    def request(self, index: int = 0, *, timeout: float = _PATIENCE) -> RecordedRequest:
        """Wait until a request has come, and return it.

        Args:
            index: Which one, counted from 0.
            timeout: Seconds to wait at most.

        Raises:
            TimeoutError: It has not come in time.
        """
        if not self._ledger.wait(lambda: len(self.requests) > index, timeout):
            raise TimeoutError(
                f"after {timeout:g} s the server has {len(self.requests)} requests, "
                f"and none with the index {index}"
            )
        return self.requests[index]

    def wait_until_idle(self, timeout: float = _PATIENCE) -> bool:
        """Wait until no answer is under way: each has been sent, cut, or left by its client.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether it has become so.
        """
        return self._ledger.wait(lambda: self._ledger.answering == 0, timeout)

    def wait_until_left(self, count: int | None = None, *, timeout: float = _PATIENCE) -> bool:
        """Wait until connections have come to their end, idle ones too.

        Args:
            count: How many of all there have been; None for all, so that none is open.
            timeout: Seconds to wait at most.

        Returns:
            Whether it has become so.
        """
        ledger = self._ledger
        if count is None:
            return ledger.wait(lambda: not ledger.lines, timeout)
        return ledger.wait(lambda: ledger.connections - len(ledger.lines) >= count, timeout)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        # What already fails says more of why than what the server saw of it.
        if error is None:
            self.check()

    def __repr__(self) -> str:
        where = self._url or "not started"
        return f"<ScriptedServer {where}, {len(self.requests)} requests>"

    def _accept(self, listener: socket.socket, bell: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(bell, selectors.EVENT_READ)
            while not any(key.fileobj is bell for key, _ in selector.select()):
                try:
                    self._welcome(listener.accept()[0])
                except OSError:
                    # Whoever asked is gone again, or the machine is out of files for now.
                    time.sleep(0.01)

    def _welcome(self, sock: socket.socket) -> None:
        try:
            line = Line(sock, self._ledger.connections + 1, self._tls)
        except OSError:
            sock.close()
            return
        self._ledger.open(line)
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._threads.append(_thread(self._serve, line))

    def _serve(self, line: Line) -> None:
        try:
            converse(line, self._ledger)
        finally:
            self._ledger.close(line)


class StartServer(Protocol):
    """The type of the fixture `scripted_server`: a function that starts a server."""

    def __call__(
        self,
        *script: Scripted,
        strict: bool = False,
        tls: tuple[_File, _File] | ssl.SSLContext | None = None,
        speaks: Speaks | None = "tgi",
    ) -> ScriptedServer:
        """Start a server, which is closed and checked after the test.

        Args:
            script: The answers in their order, as for `ScriptedServer`.
            strict: Whether a request beyond the last answer fails the test.
            tls: The files of the certificate and of its key, or a context; None for no TLS.
            speaks: What it says that it speaks, when it is asked.
        """


def _thread(target: Callable[..., None], *args: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=args, name="hfgen-scripted", daemon=True)
    thread.start()
    return thread


def _context(files: tuple[_File, _File]) -> ssl.SSLContext:
    # Most servers speak no TLS.
    import ssl  # noqa: PLC0415

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context
