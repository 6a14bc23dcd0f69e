"""Starts the servers that a measurement needs, each once, and ends them all together."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.request import ProxyHandler, build_opener

from benchmarks.local_servers import LocalServer
from benchmarks.roster import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from benchmarks.roster import Client
    from benchmarks.scenarios import Scenario
    from benchmarks.server import Plan

# Seconds in which a server must have started: `transformers serve` may read torch from a cold disk.
TIMEOUT = 180

# In place of this machine's own settings: proxies, telemetry, caches.
ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "0",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
    "PYTHONDONTWRITEBYTECODE": "",
    # hfgen of this checkout, whichever hfgen the environment has installed.
    "PYTHONPATH": str(ROOT / "src"),
}
_without_proxy = build_opener(ProxyHandler({}))


class StartError(Exception):
    """A server did not start; the text says why."""


class Servers:
    """The servers of a run. A server that gets no requests waits without using a processor."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._locations: dict[Plan | str, dict[str, Any] | StartError] = {}

    def locate(self, client: Client | LocalServer, scenario: Scenario) -> dict[str, Any]:
        """Return where the server of a measurement is, as `address` and `pid`; start it if needed.

        Raises:
            StartError: The server did not start, now or at an earlier try.
        """
        if not isinstance(client, LocalServer):
            plan = scenario.plan()
            return self._start_once(plan, lambda: start_scripted_server(plan))
        if not client.serve_command:
            return {}
        return self._start_once(client.name, lambda: _start_local_server(client))

    def _start_once(
        self, key: Plan | str, start: Callable[[], AbstractContextManager[dict[str, Any]]]
    ) -> dict[str, Any]:
        if key not in self._locations:
            try:
                self._locations[key] = self._stack.enter_context(start())
            except StartError as error:
                self._locations[key] = error
        location = self._locations[key]
        if isinstance(location, StartError):
            raise location
        return location

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


@contextlib.contextmanager
def start_scripted_server(plan: Plan) -> Iterator[dict[str, Any]]:
    process = subprocess.Popen(  # noqa: S603 - ours
        [sys.executable, "-m", "benchmarks.server", json.dumps(asdict(plan))],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield {"address": f"http://127.0.0.1:{int(process.stdout.readline())}"}
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextlib.contextmanager
def _start_local_server(server: LocalServer) -> Iterator[dict[str, Any]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    program, *arguments = [word.format(port=port) for word in server.serve_command]
    with tempfile.TemporaryDirectory() as home:
        log = Path(home, "log")
        # `transformers serve` lists this folder.
        Path(home, "hub").mkdir()
        with log.open("wb") as output:
            # In a process group of its own, so that its children can be killed with it.
            process = subprocess.Popen(  # noqa: S603 - ours
                [str(server.folder / "bin" / program), *arguments],
                cwd=home,
                env={**os.environ, **ENVIRONMENT, "HF_HOME": home, **server.variables},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            address = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + TIMEOUT
            while not _is_ready(address):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise StartError(log.read_text(errors="replace").strip()[-300:])
                time.sleep(0.1)
            yield {"address": address, "pid": process.pid}
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def fetch(url: str) -> bytes:
    """Return the body of the answer to a GET request."""
    with _without_proxy.open(url, timeout=10) as answer:
        body: bytes = answer.read()
        return body


def _is_ready(address: str) -> bool:
    try:
        fetch(f"{address}/health")
    except OSError:
        return False
    return True
