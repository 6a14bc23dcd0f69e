"""`hfgen bulk --engine ray`: killed, interrupted and continued."""

import json
import signal
import subprocess
import sys
import time

import pytest

from helpers.echo_server import Echo

pytest.importorskip("ray.data")

import ray

pytestmark = pytest.mark.usefixtures("cluster")

COUNT = 480


class Command:
    def __init__(self, folder, address):
        self.input, self.output = folder / "in.jsonl", folder / "out.jsonl"
        self.address = address

    def start(self, url, *arguments):
        command = ["bulk", self.input, "-o", self.output, "--engine", "ray", "--api-url", url]
        cluster_options = ["--ray-address", self.address, "--workers", "2"]
        return subprocess.Popen(
            [sys.executable, "-m", "hfgen", *command, *cluster_options, *arguments],
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, url, *arguments):
        process = self.start(url, *arguments)
        _, stderr = process.communicate(timeout=120)
        return process.returncode, stderr

    def wait_for(self, process, lines):
        deadline = time.monotonic() + 90
        while self.lines() < lines and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        assert self.lines() >= lines

    def lines(self):
        return self.output.read_bytes().count(b"\n") if self.output.exists() else 0


@pytest.fixture
def command(tmp_path):
    command = Command(tmp_path, ray.get_runtime_context().gcs_address)
    rows = ({"id": i, "prompt": f"{'bad' if i % 100 == 0 else 'row'} {i}"} for i in range(COUNT))
    command.input.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return command


def test_after_a_kill_and_an_interrupt_each_row_is_there_once(command, serve):
    echo = Echo(0.05)
    server = serve(echo)
    killed = command.start(server.url, "--concurrency", "8")
    command.wait_for(killed, 1)
    killed.kill()
    killed.communicate()

    lines_before = command.lines()
    interrupted = command.start(server.url, "--concurrency", "8")
    command.wait_for(interrupted, lines_before + 1)
    interrupted.send_signal(signal.SIGINT)
    _, stderr = interrupted.communicate(timeout=60)
    assert interrupted.returncode == 130, stderr
    assert "to go on: " in stderr
    assert lines_before < command.lines() < COUNT

    code, stderr = command.run(server.url, "--concurrency", "8", "--ordered")
    assert code == 3, stderr
    rows = [json.loads(line) for line in command.output.read_text().splitlines()]
    assert [row["id"] for row in rows] == list(range(COUNT))
    for i, row in enumerate(rows):
        if i % 100 == 0:
            assert row["error"]["type"] == "ValidationError"
        else:
            assert row["generated_text"] == row["prompt"].upper() == f"ROW {i}"
    # Never more requests at once than all workers may have; finished rows were not repeated.
    assert echo.most_open <= 8
    assert echo.prompt_counts.total() < 2 * COUNT

    code, stderr = command.run(server.url, "--max-new-tokens", "3")
    assert code == 1
    assert "parameters" in stderr


def test_standard_input_is_refused(command):
    command.input = "-"
    code, stderr = command.run("http://127.0.0.1:1")
    assert code == 1
    assert "give a file, not standard input" in stderr


def test_an_address_of_no_cluster_is_refused(command):
    command.address = "nowhere"
    code, stderr = command.run("http://127.0.0.1:1")
    assert code == 1
    assert "cannot connect to Ray at nowhere" in stderr
