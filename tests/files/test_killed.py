"""A process that is killed at random moments loses nothing, and does nothing twice."""

import os
from pathlib import Path

import pytest

from helpers.finished_rows import run

KILLS = 40


@pytest.mark.skipif(not hasattr(os, "fork"), reason="each writer is a fork")
def test_kills_at_random_moments(tmp_path):
    done = run(Path(__file__).with_name("kills.py"), tmp_path, str(KILLS))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
