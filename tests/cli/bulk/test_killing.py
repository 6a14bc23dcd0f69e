"""Runs that are killed, or told to stop: nothing is lost, and nothing is there twice."""

import json
import random
import shlex
import signal
import time

import pytest

from helpers.bulk_rows import answer_prompt, check, prompts
from hfgen.testing import Hang, ScriptedServer, tokens

# Seconds after which no further run is begun to be killed, however slow the machine.
_ENOUGH = 32.0
_KILLS = 24


@pytest.mark.parametrize("order", ["as they end", "ordered"])
def test_killed_again_and_again(folder, order):
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    rows = 2000
    folder.write(prompts(rows))
    arguments = ["--ordered"] if order == "ordered" else []
    kills, ends, until = 0, [], time.monotonic() + _ENOUGH / 2
    with ScriptedServer(lambda request: answer_prompt(request, after=0.02)) as server:
        while kills < _KILLS and time.monotonic() < until:
            before, more = folder.count_lines(), chance.randrange(40)
            process = folder.start(server.url, *arguments, "--concurrency", "4")
            while process.poll() is None and folder.count_lines() < before + more:
                time.sleep(0.002)
            time.sleep(chance.random() * 0.1)
            process.kill()
            process.communicate()
            if process.returncode != -signal.SIGKILL:
                assert process.returncode == 0, (seed, kills)
                break
            kills += 1
            ends.append(folder.count_finished())
            # As a machine leaves it that loses its power: the last line is not whole.
            if chance.random() < 0.3 and folder.count_lines():
                with folder.output.open("r+b") as file:
                    file.truncate(file.seek(0, 2) - 5)
        done = folder.run(server.url, *arguments, "--concurrency", "128")
    assert done.returncode == 0, (seed, done.stderr)
    check(folder.rows(), rows)
    if order == "ordered":
        assert [row["id"] for row in folder.rows()] == list(range(rows)), seed
    assert kills > 0
    # Each run has gone on, and did not begin anew.
    assert ends == sorted(ends), seed


def test_killed_while_errors_are_run_again(folder):
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    folder.write([{"id": n} if n % 2 else row for n, row in enumerate(prompts(60))])
    with ScriptedServer(answer_prompt) as server:
        assert folder.run(server.url, "--ordered").returncode == 3
        for _ in range(6):
            process = folder.start(server.url, "--ordered", "--retry-errors")
            time.sleep(chance.random() * 1.2)
            process.kill()
            process.communicate()
        done = folder.run(server.url, "--ordered")
    assert done.returncode == 3, (seed, done.stderr)
    rows = folder.rows()
    assert [row["id"] for row in rows] == list(range(60)), seed
    assert all(("error" in row) == bool(n % 2) for n, row in enumerate(rows)), seed
    # Those that had their text were not asked for again.
    assert len(server.requests) == 30


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_told_to_stop_it_lets_end_what_runs_and_says_how_to_go_on(folder, hfgen, number):
    folder.write(prompts(60))
    with ScriptedServer(lambda request: answer_prompt(request, after=0.3)) as server:
        arguments = ("--concurrency", "4", "--api-key", "hf_secret")
        process = folder.start(server.url, *arguments, "--restart")
        server.request(9, timeout=30)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
        assert process.returncode == 130
        rows = folder.rows()
        # What ran has been waited for; nothing has been begun after it.
        assert all(row["generated_text"] for row in rows)
        assert len(rows) == len(server.requests) < 60
        assert not any(request.hung_up.is_set() for request in server.requests)
        assert "hf_secret" not in stderr
        line = next(line for line in stderr.splitlines() if "to go on" in line)
        assert line.startswith("hfgen: interrupted; to go on: ")
        _, _, command = line.partition(": interrupted; to go on: ")
        words = shlex.split(command)
        assert "--restart" not in words
        again = hfgen(*words[words.index("bulk") :])
    assert again.returncode == 0, again.stderr
    assert f"60 rows done, {len(rows)} of them by earlier runs" in again.stderr
    check(folder.rows(), 60)
    assert len(server.requests) == 60


def test_told_twice_it_stops_at_once(folder):
    def answer(request):
        if request.json["inputs"] == "prompt 0":
            return tokens("never", Hang())
        return answer_prompt(request)

    folder.write(prompts(20))
    with ScriptedServer(answer) as server:
        process = folder.start(server.url, "--concurrency", "2", "--timeout", "600")
        while folder.count_lines() < 19:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert "stopping" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "stopped at once; to go on: " in stderr
        (never,) = [request for request in server.requests if request.json["inputs"] == "prompt 0"]
        assert never.hung_up.wait(10)
        unfinished = 20 - folder.count_finished()
    with ScriptedServer(answer_prompt) as server:
        done = folder.run(server.url)
        assert done.returncode == 0, done.stderr
        assert len(server.requests) == unfinished
    check(folder.rows(), 20)


def test_a_terminal_that_goes_says_so_more_than_once(folder):
    folder.write(prompts(40))
    with ScriptedServer(lambda request: answer_prompt(request, after=0.5)) as server:
        process = folder.start(server.url, "--concurrency", "4")
        server.request(3, timeout=30)
        process.send_signal(signal.SIGHUP)
        assert "stopping" in process.stderr.readline()
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=30)
        assert process.returncode == 130
        assert not any(request.hung_up.is_set() for request in server.requests)
        assert len(folder.rows()) == len(server.requests) < 40


# `nohup` ignores SIGHUP; a shell ignores SIGINT for a job in the background.
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_is_ignored_stays_ignored(folder, number):
    folder.write(prompts(20))
    with ScriptedServer(lambda request: answer_prompt(request, after=0.1)) as server:
        process = folder.start_ignoring(number, server.url, "--concurrency", "4")
        server.request(3, timeout=30)
        process.send_signal(number)
        process.communicate(timeout=30)
    assert process.returncode == 0
    check(folder.rows(), 20)


def test_stopped_while_it_waits_for_standard_input(folder, hfgen):
    with ScriptedServer(answer_prompt) as server:
        process = hfgen.start(
            "bulk", "-", "-o", str(folder.output), "--api-url", server.url, stdin=-1
        )
        rows = prompts(5)
        for row in rows[:3]:
            process.stdin.write(json.dumps(row) + "\n")
        process.stdin.flush()
        while folder.count_lines() < 3:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        stderr = process.stderr.read()
        assert "to go on, with the same input again: " in stderr
        assert "Fatal" not in stderr
        done = hfgen(
            "bulk", "-", "-o", str(folder.output), "--api-url", server.url,
            text="".join(json.dumps(row) + "\n" for row in rows),
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    check(folder.rows(), 5)
    assert len(server.requests) == 5


def test_a_full_disk_ends_it_and_keeps_what_it_has(folder):
    # A limit of the process stands in for the disk: what goes beyond is refused in the same place.
    limited = ("bash", "-c", "trap '' XFSZ; ulimit -f 40; exec \"$@\"", "bash")
    folder.write(prompts(3000))
    with ScriptedServer(answer_prompt) as server:
        done = folder.run(server.url, through=limited)
        assert done.returncode == 1
        assert "hfgen: error: cannot write " in done.stderr
        committed = folder.count_lines()
        assert 0 < committed < 3000
        done = folder.run(server.url)
    assert done.returncode == 0, done.stderr
    check(folder.rows(), 3000)
