"""The process ends between any two steps: of a commit, of a rewriting, and of putting it right."""

import os
import tempfile
from pathlib import Path

import pytest

from helpers.finished_rows import run

# Where there is no disk to wait for: what a process leaves behind is the same everywhere.
MEMORY = Path("/dev/shm")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a crash is a fork")
@pytest.mark.parametrize("action", ["commit", "forget_errors", "sort", "restart"])
def test_a_crash_at_every_step(action):
    folder = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        done = run(Path(__file__).with_name("crashes.py"), action, temporary)
    assert done.returncode == 0, done.stderr
    crashes, again = map(int, done.stdout.split())
    assert crashes >= 6
    assert again >= crashes
