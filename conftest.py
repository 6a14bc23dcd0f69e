"""What every test may have: a local server. The code blocks of the documents run against it."""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

from hfgen.server import LocalServer


def _run_shell(example: Example) -> None:
    bin_folder = str(Path(sys.executable).parent)
    environ = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", example.parsed],
        check=True,
        timeout=120,
        env=environ,
        capture_output=True,
    )


def _say_what_there_is(namespace: dict[str, object]) -> None:
    # By its distribution: under tests/ there is a folder of the same name.
    namespace["no_ray"] = not list(metadata.distributions(name="ray"))


pytest_collect_file = Sybil(
    parsers=[
        PythonCodeBlockParser(),
        CodeBlockParser(language="shell", evaluator=_run_shell),
        SkipParser(),
    ],
    patterns=["README.md", "docs/*.md"],
    fixtures=["documented_environment"],
    setup=_say_what_there_is,
).pytest()


@pytest.fixture(scope="session")
def local_server():
    """Serve the bundled model on a thread, for the whole run."""
    with LocalServer() as server:
        yield server


@pytest.fixture
def documented_environment(local_server, monkeypatch, tmp_path):
    """Send what the examples send to the local server; what they write is nobody's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HFGEN_API_URL", local_server.url)
    monkeypatch.setenv("ENDPOINT_URL", local_server.url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
