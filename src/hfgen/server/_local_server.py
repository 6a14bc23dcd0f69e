"""Starts, runs and stops the server: `LocalServer` on a thread, `serve` as the whole command."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
import threading
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hfgen._core.errors import LocalServerError
from hfgen._io.stop_signals import handle_stop_signals
from hfgen.server._options import Limits, OptionsDict, ServerOptions
from hfgen.server._shutdown import Shutdown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self, Unpack

    from hfgen.server.engine.batcher import Batcher
    from hfgen.server.engine.checkpoint import Model

_logger = logging.getLogger("hfgen.server")

# Seconds in which the last bytes must be sent after every generation has ended.
_FLUSH = 2.0
# Files that the process needs beside its connections.
_OTHER_FILES = 64


class LocalServer:
    """A server on a thread of this process, for tests and for `--local`.

        with LocalServer() as server:
            requests.post(f"{server.url}/generate", json={"inputs": "Once upon a time"})

    Args:
        options: Those of `ServerOptions`; the default of `port` is 0, which takes a free port.

    Raises:
        LocalServerError: From `start`: the model cannot be loaded, the port is in use, an option is
            out of its range, or the extra is not installed.
    """

    def __init__(self, **options: Unpack[OptionsDict]) -> None:
        options.setdefault("port", 0)
        self._options = ServerOptions(**options)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._shutdown: Shutdown | None = None
        self._url: str | None = None

    def __repr__(self) -> str:
        return f"LocalServer({self._url or 'not started'})"

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        if self._url is None:
            raise LocalServerError("the local server is not running")
        return self._url

    def start(self) -> Self:
        """Load the model, listen, and return once the server answers."""
        with self._lock:
            if self._thread is not None:
                raise LocalServerError("the local server has been started before")
            model, batcher = load_engine(self._options)
            with _open_listener(self._options) as listener:
                ready: Future[Shutdown] = Future()
                self._thread = threading.Thread(
                    target=_run_on_thread,
                    args=(model, batcher, self._options, listener, ready),
                    name="hfgen-local-server",
                    daemon=True,
                )
                self._thread.start()
                try:
                    self._shutdown = ready.result()
                except BaseException:  # this may be a KeyboardInterrupt while the server starts
                    ready.add_done_callback(_stop_once_ready)
                    raise
                self._url = _format_url(listener)
        return self

    def stop(self, *, grace: float = 0.0) -> None:
        """Stop the server, and return once its thread has ended. Stopping twice is harmless.

        Args:
            grace: Seconds that running generations have to finish.
        """
        with self._lock:
            if self._shutdown is None or self._thread is None:
                return
            self._shutdown.request_threadsafe(grace)
            self._thread.join()
            self._shutdown = self._url = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def serve(*, on_ready: Callable[[str], None] | None = None, **options: Unpack[OptionsDict]) -> None:
    """Serve until SIGINT or SIGTERM; the second of them cuts the grace time short.

    A signal that the process ignores stays ignored, as SIGINT is in a shell's background job. Call
    it on the main thread: only that one receives signals.

    Args:
        on_ready: Called with the base URL once the server answers.
        options: Those of `ServerOptions`.

    Raises:
        LocalServerError: The server cannot be started.
    """
    if threading.current_thread() is not threading.main_thread():
        raise LocalServerError("serve() needs the main thread; elsewhere there is LocalServer")
    chosen = ServerOptions(**options)
    model, batcher = load_engine(chosen)
    _raise_file_limit(chosen.max_connections + _OTHER_FILES)
    with _open_listener(chosen) as listener:
        asyncio.run(_serve_until_signal(model, batcher, chosen, listener, on_ready))


def load_engine(options: ServerOptions) -> tuple[Model, Batcher]:
    """Load the model, and create its batcher without starting it.

    Raises:
        LocalServerError: The model cannot be loaded, or the extra is not installed.
    """
    # Imported only when needed: these import NumPy and tokenizers.
    try:
        import prometheus_client  # noqa: F401, PLC0415

        from hfgen.server.engine import batcher, checkpoint  # noqa: PLC0415
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "hfgen":
            raise
        raise LocalServerError(
            "the local server needs hfgen[server]: pip install 'hfgen[server]'"
        ) from error
    bundled = options.model == "bundled"
    try:
        model = checkpoint.load_checkpoint(checkpoint.BUNDLED if bundled else Path(options.model))
    except checkpoint.CheckpointError as error:
        raise LocalServerError(str(error)) from error
    Limits.from_options(options, max_positions=model.engine.max_positions)
    return model, batcher.Batcher(model, max_batch=options.max_batch)


async def _serve_until_signal(
    model: Model,
    batcher: Batcher,
    options: ServerOptions,
    listener: socket.socket,
    on_ready: Callable[[str], None] | None,
) -> None:
    # Inside of the event loop, whose runner has a handler of its own for SIGINT: that one is
    # replaced once the server is ready, and restored before the runner removes it.
    with ExitStack() as context:

        def announce(shutdown: Shutdown) -> None:
            # A second request cuts the grace time short.
            request = shutdown.request_threadsafe
            context.enter_context(
                handle_stop_signals("SIGINT", "SIGTERM", stop=request, stop_at_once=request)
            )
            if on_ready is not None:
                on_ready(_format_url(listener))

        await _serve_until_stop(model, batcher, options, listener, announce)


async def _serve_until_stop(
    model: Model,
    batcher: Batcher,
    options: ServerOptions,
    listener: socket.socket,
    ready: Callable[[Shutdown], None],
) -> None:
    """Serve on a listening socket until a stop is requested."""
    from aiohttp import web  # noqa: PLC0415 - aiohttp.web is slow to import

    from hfgen.server.http.app import build_app  # noqa: PLC0415
    from hfgen.server.http.connections import Connections  # noqa: PLC0415
    from hfgen.server.http.inference import Service  # noqa: PLC0415

    shutdown = Shutdown(grace=options.grace)
    service = Service.from_model(model, batcher, options)
    runner = web.AppRunner(
        build_app(service, shutdown),
        # A handler is cancelled as soon as its client disconnects, and with it its jobs.
        handler_cancellation=True,
        shutdown_timeout=_FLUSH,
    )
    try:
        await runner.setup()
        # Started only now, since the clean-up below stops it once `setup` has succeeded.
        batcher.start()
        assert runner.server is not None
        connections = Connections(runner.server, options)
        await connections.start(listener)
        try:
            ready(shutdown)
            await shutdown.requested.wait()
        finally:
            await connections.stop()
    finally:
        await runner.cleanup()


def _stop_once_ready(ready: Future[Shutdown]) -> None:
    if ready.exception() is None:
        ready.result().request_threadsafe(0.0)


def _run_on_thread(
    model: Model,
    batcher: Batcher,
    options: ServerOptions,
    listener: socket.socket,
    ready: Future[Shutdown],
) -> None:
    try:
        asyncio.run(_serve_until_stop(model, batcher, options, listener, ready.set_result))
    except BaseException as error:
        if ready.done():
            raise
        ready.set_exception(error)


def _raise_file_limit(wanted: int) -> None:
    """Raise the limit of open files of this process to `wanted`, as far as the system allows."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return
    limit, maximum = resource.getrlimit(resource.RLIMIT_NOFILE)
    if maximum != resource.RLIM_INFINITY:
        wanted = min(wanted, maximum)
    if limit != resource.RLIM_INFINITY and limit < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, maximum))


@contextmanager
def _open_listener(options: ServerOptions) -> Iterator[socket.socket]:
    """Open a listening socket, and close it if the block raises.

    This is done before the event loop starts, so that the caller gets the error and the port.
    """
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        listener = socket.create_server((options.host, options.port), family=family)
    except OSError as error:
        # Not `strerror` for system errors: `create_server` adds the address to it. An unknown host
        # name has a negative number, for which `os.strerror` has no text.
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else error.strerror
        raise LocalServerError(
            f"cannot listen on {options.host}:{options.port}: {reason}"
        ) from error
    if options.api_key is None and not _is_loopback(listener):
        _logger.warning(
            "anyone who can reach %s can use this server, as it asks for no key",
            _format_url(listener),
        )
    try:
        yield listener
    except BaseException:
        listener.close()
        raise


def _is_loopback(listener: socket.socket) -> bool:
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def _format_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
