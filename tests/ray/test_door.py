"""`hfgen.ray` without Ray, and `hfgen` with Ray."""

import os
import subprocess
import sys

import pytest


@pytest.fixture
def run_python(tmp_path):
    """Run Python where `import ray` finds no Ray."""
    (tmp_path / "ray.py").write_text("")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def test_the_import_says_what_to_install(run_python):
    process = run_python("-c", "import hfgen.ray")
    assert "ImportError: hfgen.ray needs Ray Data" in process.stderr
    assert "pip install 'hfgen[ray]'" in process.stderr


def test_the_command_says_what_to_install(run_python, tmp_path):
    rows = tmp_path / "in.jsonl"
    rows.write_text('{"prompt": "row 0"}\n')
    process = run_python(
        "-m", "hfgen", "bulk", rows, "-o", tmp_path / "out.jsonl", "--engine", "ray", "--local"
    )
    assert process.returncode == 1
    (line,) = [line for line in process.stderr.splitlines() if "error" in line]
    assert line.startswith("hfgen: error: hfgen.ray needs Ray Data")
    assert "pip install 'hfgen[ray]'" in line


def test_hfgen_alone_imports_no_ray():
    code = "import sys, hfgen; assert not {'ray', 'pyarrow'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
