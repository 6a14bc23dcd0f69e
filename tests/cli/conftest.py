"""Running the command as a person would: in a process of its own."""

import os
import subprocess
import sys

import pytest


@pytest.fixture
def hfgen(tmp_path):
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HFGEN_"))}
    environ |= {"HF_HOME": str(tmp_path), "PYTHONWARNINGS": "error", "PYTHONUNBUFFERED": ""}
    started = []

    def run(*arguments, text=None, **kwargs):
        return subprocess.run(
            [sys.executable, "-m", "hfgen", *arguments],
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=60,
            env=environ | kwargs.pop("env", {}),
            check=False,
        )

    def start(*arguments, **kwargs):
        process = subprocess.Popen(
            [sys.executable, "-m", "hfgen", *arguments],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
            **{"stdout": subprocess.PIPE, **kwargs},
        )
        started.append(process)
        return process

    run.start = start
    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
