"""A script: kill a writer at random moments, and look at what it leaves.

    python kills.py FOLDER KILLS

Prints how many of the writers were kill_writer before they ended by themselves.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from helpers.finished_rows import ids, open_store, record, rows
from helpers.forked_processes import fork, wait_for_exit

ROWS = 6000


def write(out, seed, ready):
    """Finish rows out of order, a few at a time, some with errors; rewrite at the start."""
    chance = random.Random(seed)
    with open_store(out) as store:
        os.write(ready, b".")
        if chance.random() < 0.5:
            store.forget_errors()
        if chance.random() < 0.5:
            store.sort()
        waiting = []
        for row in store.skip_finished(rows(ROWS)):
            waiting.append(row.index)
            if len(waiting) == 12:
                chance.shuffle(waiting)
                store.commit([make_record(index, chance) for index in waiting[3:]])
                waiting = waiting[:3]
        store.commit([make_record(index, chance) for index in waiting])


def make_record(index, chance):
    error = "ServerError" if chance.random() < 0.05 else None
    return record(index, error, size=chance.choice([0, 0, 10, 9000]))


def kill_writer(out, seed, seconds):
    """Start a writer, and kill it so long after it has opened the output."""
    reading, writing = os.pipe()
    pid = fork(write, out, seed, writing)
    os.close(writing)
    opened_it = os.read(reading, 1)
    os.close(reading)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    status = wait_for_exit(pid)
    assert opened_it == b"."
    assert status in {0, -signal.SIGKILL}, status
    return status != 0


def main(folder, kills):
    out = folder / "out.jsonl"
    chance = random.Random(6)
    in_the_middle, with_text = 0, set()
    for seed in range(kills):
        in_the_middle += kill_writer(out, seed, chance.uniform(0, 0.1))
        with open_store(out) as store:
            done = {index: json.loads(line) for index, line in store.read_lines()}
            assert sorted(ids(out)) == list(done)
            assert all(done[index]["id"] == index for index in done)
            # A row that has its text keeps it; one with an error may be forgotten.
            assert with_text <= set(done)
            with_text = {index for index, columns in done.items() if "error" not in columns}
    with open_store(out) as store:
        store.commit([record(row.index) for row in store.skip_finished(rows(ROWS))])
        store.sort()
    assert ids(out) == list(range(ROWS))
    assert {path.name for path in folder.iterdir()} == {"out.jsonl", "out.jsonl.state"}
    sys.stdout.write(f"{in_the_middle}\n")


main(Path(sys.argv[1]), int(sys.argv[2]))
