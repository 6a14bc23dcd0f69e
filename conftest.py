"""What every test may have: a local server. The code blocks of the documents run as they stand."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, SkipParser

from hfgen.server import LocalServer

_SECONDS = 120
# Ray warns of its own defaults.
_WARNINGS = ("-W", "error", "-W", "ignore::DeprecationWarning:ray.data.context")
# The port in the documents. A free one takes its place, because 8080 may be in use.
_PORT = "8080"


class _Page:
    """Runs the code blocks of one document, each in a process of its own.

    The environment is empty, but for what blocks of the same document have exported; so are the
    folder and the key store. A server that a block starts runs until the end of the document.
    """

    def __init__(self) -> None:
        self._folder = TemporaryDirectory()
        self._work = Path(self._folder.name, "work")
        self._work.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = probe.getsockname()[1]
        bin_folder = str(Path(sys.executable).parent)
        passed = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        self._environ = {
            **passed,
            "HOME": self._folder.name,
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        }
        self._servers: list[subprocess.Popen[bytes]] = []

    def run_shell(self, example: Example) -> None:
        environ = Path(self._folder.name, "environ")
        script = f"{self._fill_in(example)}\nenv -0 > {environ}"
        self._run(["bash", "-euo", "pipefail", "-c", script])
        lines = environ.read_text().split("\0")
        self._environ = dict(line.split("=", 1) for line in lines if line)
        if "hfgen serve" in script:
            self._wait_for_server()

    def run_python(self, example: Example) -> None:
        script = Path(self._folder.name, "test_block.py")
        script.write_text(self._fill_in(example))
        command = [sys.executable, *_WARNINGS]
        if "def test_" in example.parsed:
            command += ["-m", "pytest", "-p", "no:cacheprovider", "-p", "no:asyncio"]
        self._run([*command, str(script)])

    def close(self) -> None:
        for shell in self._servers:
            _end_group(shell)
        self._folder.cleanup()

    def _fill_in(self, example: Example) -> str:
        return str(example.parsed).replace(_PORT, str(self._port))

    def _run(self, command: list[str]) -> None:
        # Not to a pipe, which a server in the background would keep open.
        with Path(self._folder.name, "output").open("w+") as output:
            process = subprocess.Popen(
                command,
                cwd=self._work,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                status = process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                _end_group(process)
                raise
            if "hfgen serve" in command[-1]:
                self._servers.append(process)
            output.seek(0)
            assert status == 0, output.read()

    def _wait_for_server(self) -> None:
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self._port)).close()
            except ConnectionRefusedError:
                time.sleep(0.05)
            else:
                return
        raise TimeoutError("the server of the document does not listen")


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """End a process, and those that it has left in the background."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)


def _open_page(namespace: dict[str, object]) -> None:
    namespace["page"] = _Page()
    # By its distribution: under tests/ there is a folder of the same name.
    namespace["no_ray"] = not list(metadata.distributions(name="ray"))


pytest_collect_file = Sybil(
    parsers=[
        CodeBlockParser(language="python", evaluator=lambda e: e.namespace["page"].run_python(e)),
        CodeBlockParser(language="shell", evaluator=lambda e: e.namespace["page"].run_shell(e)),
        SkipParser(),
    ],
    patterns=["README.md", "docs/*.md"],
    setup=_open_page,
    teardown=lambda namespace: namespace["page"].close(),
).pytest()


@pytest.fixture(scope="session")
def local_server():
    """Serve the bundled model on a thread, for the whole run."""
    with LocalServer() as server:
        yield server
