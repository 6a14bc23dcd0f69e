"""The fixtures of `conftest.py` work however the tests were started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REPORT = """
import signal
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
print(signal.getsignal(signal.SIGHUP) is signal.SIG_DFL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP")
def test_children_do_not_ignore_signals():
    process = subprocess.run([sys.executable, "-c", REPORT], capture_output=True, check=True)
    assert process.stdout.split() == [b"True", b"True"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP")
def test_children_do_not_ignore_signals_that_the_run_ignores():
    inner = f"{Path(__file__)}::{test_children_do_not_ignore_signals.__name__}"
    command = f"trap '' INT HUP; exec '{sys.executable}' -m pytest -q -p no:cacheprovider '{inner}'"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    process = subprocess.run(
        ["bash", "-c", command],
        cwd=HERE.parent,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert process.returncode == 0, process.stdout
