"""Running the command as a person would: in a process of its own."""

import os
import signal
import subprocess
import sys

import pytest


@pytest.fixture
def hfgen(tmp_path):
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HFGEN_"))}
    environ |= {"HF_HOME": str(tmp_path), "PYTHONWARNINGS": "error", "PYTHONUNBUFFERED": ""}
    started = []

    def command(*arguments):
        return [sys.executable, "-m", "hfgen", *arguments]

    def run(*arguments, text=None, through=(), encoding="utf-8", **kwargs):
        return subprocess.run(
            [*through, *command(*arguments)],
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            encoding=encoding,
            timeout=60,
            env=environ | kwargs.pop("env", {}),
            check=False,
        )

    def start(*arguments, **kwargs):
        process = subprocess.Popen(
            command(*arguments),
            text=True,
            env=environ | kwargs.pop("env", {}),
            **{
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                **kwargs,
            },
        )
        started.append(process)
        return process

    def start_ignoring(number, *arguments, **kwargs):
        # A child ignores the signals that its parent ignores.
        previous = signal.signal(number, signal.SIG_IGN)
        try:
            return start(*arguments, **kwargs)
        finally:
            signal.signal(number, previous)

    run.start, run.start_ignoring = start, start_ignoring
    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
