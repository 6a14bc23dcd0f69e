"""A script: end the process between any two steps of an action, and of putting that right.

    python crashes.py ACTION FOLDER

Prints how many crashes there were, of the action and after it. Each is a fork, so that it costs
milliseconds.
"""

import os
import shutil
import sys
from pathlib import Path

from helpers.finished_rows import ids, open_store, record, rows
from helpers.forked_processes import fork, wait_for_exit
from hfgen._files.state import State

CRASHED = 77
BEFORE = {0, 1, 2, 3, 5}
# What is done, and the rows that are finished behind it.
ACTIONS = {
    "commit": (lambda store: store.commit([record(n) for n in (6, 7)]), BEFORE | {6, 7}),
    "forget_errors": (lambda store: store.forget_errors(), BEFORE - {2}),
    "sort": (lambda store: store.sort(), BEFORE),
    "restart": (lambda _: None, set()),
}


def line(index):
    # All of one length, so that a file in another order has the same size.
    return record(index, "ServerError" if index == 2 else None)


def begin(out):
    with open_store(out) as store:
        store.commit([line(n) for n in (3, 1, 2, 0, 5)])


def act(out, action):
    with open_store(out, restart=action == "restart") as store:
        ACTIONS[action][0](store)


def check(out, *allowed):
    with open_store(out) as store:
        found = dict(store.read_lines())
        assert found == {n: line(n).line for n in found}
        assert sorted(ids(out)) == list(found)
        assert set(found) in allowed, found
        assert store.done == len(found)
        rest = [row.index for row in store.skip_finished(rows(9))]
        assert sorted([*rest, *found]) == list(range(9))


def crash_at(step):
    """End the process before, or after, one of the calls that change what is on the disk."""
    count = 0

    def count_calls(function, of_interest=lambda *_: True):
        def wrapper(*arguments, **options):
            nonlocal count
            count += 2 * of_interest(*arguments)
            if count - 1 == step:
                os._exit(CRASHED)
            result = function(*arguments, **options)
            if count == step:
                os._exit(CRASHED)
            return result

        return wrapper

    for name in ("fsync", "replace", "unlink"):
        setattr(os, name, count_calls(getattr(os, name)))
    # What SQLite does in a transaction counts when it is committed; until then it is undone.
    State.execute = count_calls(State.execute, lambda _, statement, *__: statement == "COMMIT")


def call_and_crash(step, function, *arguments):
    crash_at(step)
    function(*arguments)


def crashes_at(step, function, *arguments):
    status = wait_for_exit(fork(call_and_crash, step, function, *arguments))
    assert status in {0, CRASHED}, status
    return status == CRASHED


def main(action, folder):
    after, now, crashed_folder = ACTIONS[action][1], folder / "now", folder / "left"
    out = now / "out.jsonl"
    crashes = again = 0
    while True:
        now.mkdir()
        begin(out)
        if not crashes_at(crashes + 1, act, out, action):
            break
        crashes += 1
        shutil.move(now, crashed_folder)
        step = 0
        while True:
            shutil.copytree(crashed_folder, now)
            step += 1
            # The start behind the crash crashes too.
            crashed = crashes_at(step, lambda: open_store(out).close())
            check(out, BEFORE, after)
            shutil.rmtree(now)
            if not crashed:
                break
            again += 1
        shutil.rmtree(crashed_folder)
    check(out, after)
    sys.stdout.write(f"{crashes} {again}\n")


main(sys.argv[1], Path(sys.argv[2]))
