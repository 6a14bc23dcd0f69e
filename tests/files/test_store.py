"""Finished rows are kept, once each."""

import os
import random
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from helpers.finished_rows import SETTINGS, ids, open_store, record, rows, run
from hfgen import BulkFileError
from hfgen._files.row import Row
from hfgen._files.state import State
from hfgen._files.store import _check_same_run


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.jsonl"


def commit_records(out, *records, **options):
    with open_store(out, **options) as store:
        store.commit(list(records))


def refusal_message(out, **options):
    with pytest.raises(BulkFileError) as caught, open_store(out, **options):
        pass
    return caught.value.message


def unfinished_rows(out, count, **options):
    with open_store(out, **options) as store:
        return [row.index for row in store.skip_finished(rows(count))]


class TestGoingOn:
    def test_what_is_committed_is_in_the_output_and_not_done_again(self, out):
        commit_records(out, record(3), record(0))
        commit_records(out, record(1, "ServerError"))
        assert ids(out) == [3, 0, 1]
        assert unfinished_rows(out, 6) == [2, 4, 5]

    def test_counts_go_on(self, out):
        commit_records(out, record(0, tokens=5), record(1, "ServerError"), record(2, "ServerError"))
        with open_store(out) as store:
            assert (store.done, store.generated_tokens) == (3, 5)
            assert store.errors == {"ServerError": 2}
            store.commit([record(3, tokens=2), record(4), record(5, "TimeoutError")])
            assert (store.done, store.generated_tokens) == (6, 7)
            assert store.errors == {"ServerError": 2, "TimeoutError": 1}

    def test_what_was_torn_is_mended(self, out, tmp_path):
        state = out.with_name("out.jsonl.state")
        with open_store(out) as store:
            store.commit([record(0)])
            store.commit([record(1), record(2)])
            # What the process leaves if it is killed now.
            left = {path: path.read_bytes() for path in tmp_path.iterdir()}
        whole, first = left[out], len(record(0).line)
        assert state in left
        for size in range(first, len(whole) + 1):
            for torn in (whole[:size], whole[:size] + bytes(len(whole) - size)):
                for path, data in (left | {out: torn}).items():
                    path.write_bytes(data)
                assert unfinished_rows(out, 4) == [3]
                assert out.read_bytes() == whole

    def test_no_row_twice(self, out):
        commit_records(out, record(0))
        with open_store(out) as store:
            with pytest.raises(ValueError, match="finished already"):
                store.commit([record(1), record(0)])
            store.commit([record(1)])
        assert ids(out) == [0, 1]

    @pytest.mark.parametrize("when", ["before", "behind"])
    def test_an_interrupt_in_a_commit(self, out, monkeypatch, when):
        execute = State.execute

        def interrupt(state, statement, *values):
            if statement == "COMMIT" and when == "before":
                raise KeyboardInterrupt
            result = execute(state, statement, *values)
            if statement == "COMMIT":
                raise KeyboardInterrupt
            return result

        with open_store(out) as store:
            monkeypatch.setattr(State, "execute", interrupt)
            with pytest.raises(KeyboardInterrupt):
                store.commit([record(0)])
            monkeypatch.setattr(State, "execute", execute)
            store.commit([record(1)])
        assert ids(out) == ([1] if when == "before" else [0, 1])
        assert unfinished_rows(out, 3) == ([0, 2] if when == "before" else [2])

    def test_what_is_committed_meanwhile_is_not_in_the_way(self, out):
        commit_records(out, *(record(n) for n in range(0, 3000, 2)))
        with open_store(out) as store:
            yielded = []
            for row in store.skip_finished(rows(4000)):
                yielded.append(row.index)
                if len(yielded) % 50 == 0:
                    store.commit([record(index) for index in yielded[-50:]])
        assert yielded == [*range(1, 3000, 2), *range(3000, 4000)]
        assert sorted(ids(out)) == list(range(4000))

    def test_threads_may_commit(self, out):
        with open_store(out) as store, ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: store.commit([record(n)]), range(100)))
        assert sorted(ids(out)) == list(range(100))

    def test_committing_nothing(self, out):
        commit_records(out)
        assert out.read_bytes() == b""
        assert unfinished_rows(out, 1) == [0]

    def test_an_empty_file_may_be_there_before(self, out):
        out.touch()
        commit_records(out, record(0))
        assert ids(out) == [0]

    def test_the_output_may_be_read_meanwhile(self, out):
        with open_store(out) as store:
            store.commit([record(0)])
            assert ids(out) == [0]


class TestAnotherInput:
    def test_by_its_digest(self, out):
        commit_records(out, record(0))
        settings = SETTINGS | {"input": "another"}
        assert "the input is another one" in refusal_message(out, settings=settings)

    def test_other_parameters(self, out):
        commit_records(out, record(0))
        settings = SETTINGS | {"parameters": {"temperature": 0.9}}
        assert "parameters.temperature was 0.7, is 0.9" in refusal_message(out, settings=settings)
        assert unfinished_rows(out, 2) == [1]

    def test_while_nothing_is_finished(self, out):
        commit_records(out)
        commit_records(out, record(0), settings=SETTINGS | {"input": "another"})
        assert "the input is another one" in refusal_message(out)

    def test_row_by_row_where_it_is_read_once(self, out):
        before = list(rows(4))
        commit_records(out, *(record(row.index, digest=row.digest()) for row in before[:3]))
        with open_store(out) as store:
            assert [row.index for row in store.skip_finished(before)] == [3]
            other = [before[0], Row(1, {"inputs": "another"}), *before[2:]]
            with pytest.raises(BulkFileError, match="another input: row 1 is not the same"):
                list(store.skip_finished(other))
            with pytest.raises(BulkFileError, match="ends before row 2, which was finished"):
                list(store.skip_finished(before[:2]))


class TestRefusing:
    def test_an_output_that_is_no_runs(self, out):
        out.write_text("precious\n")
        assert "exists, and is not the output" in refusal_message(out)
        assert out.read_text() == "precious\n"
        assert not out.with_name("out.jsonl.state").exists()

    def test_the_input_as_the_output(self, out, tmp_path):
        out.write_text("precious\n")
        os.link(out, tmp_path / "in.jsonl")
        for source in (out, tmp_path / "in.jsonl"):
            assert "is the input" in refusal_message(out, source=source, restart=True)
        assert out.read_text() == "precious\n"

    def test_an_output_that_is_gone(self, out):
        commit_records(out, record(0))
        out.unlink()
        assert "out.jsonl is gone" in refusal_message(out)
        assert not out.exists()

    def test_an_output_that_was_shortened(self, out):
        commit_records(out, record(0), record(1))
        whole = out.read_bytes()
        out.write_bytes(whole[:-1])
        message = refusal_message(out)
        assert f"was changed: it has {len(whole) - 1} bytes, and had {len(whole)}" in message
        assert "--restart" in message
        out.write_bytes(whole)
        assert unfinished_rows(out, 3) == [2]

    def test_an_output_that_was_changed(self, out):
        commit_records(out, record(0), record(1))
        for old, new, message in (
            (b'"text"', b'"TEXT"', "was changed: the line that was written at byte"),
            (b'"text"', b'"other text"', "has 12 bytes that no run has written"),
            (b'"text"', b'""', "was changed: it has"),
        ):
            whole = out.read_bytes()
            changed = whole.replace(old, new)
            out.write_bytes(changed)
            assert message in refusal_message(out)
            assert out.read_bytes() == changed
            out.write_bytes(whole)

    @pytest.mark.parametrize("more", [b'{"id": 9}\n', b"{", b"\0" * 5000])
    @pytest.mark.parametrize("end", ["closed", "killed"])
    def test_lines_that_others_appended(self, out, tmp_path, more, end):
        with open_store(out) as store:
            store.commit([record(0)])
            left = {path: path.read_bytes() for path in tmp_path.iterdir()}
        if end == "killed":
            for path, data in left.items():
                path.write_bytes(data)
        changed = left[out] + more
        out.write_bytes(changed)
        message = refusal_message(out)
        assert f"has {len(more)} bytes that no run has written, behind byte 22" in message
        assert "--restart" in message
        assert out.read_bytes() == changed
        assert unfinished_rows(out, 1, restart=True) == [0]

    def test_a_state_that_is_empty(self, out):
        commit_records(out, record(0))
        out.with_name("out.jsonl.state").write_bytes(b"")
        whole = out.read_bytes()
        assert "out.jsonl.state is missing or empty" in refusal_message(out)
        assert out.read_bytes() == whole

    def test_an_output_that_others_made_behind_a_run_without_rows(self, out):
        commit_records(out)
        out.write_text("precious\n")
        assert "9 bytes that no run has written, behind byte 0" in refusal_message(out)
        assert out.read_text() == "precious\n"

    def test_a_second_process(self, out):
        script = "import sys; from helpers.finished_rows import open_store; open_store(sys.argv[1])"
        with open_store(out) as store:
            assert "another process is at work on this output" in refusal_message(out)
            assert "another process" in refusal_message(out, restart=True)
            done = run("-c", script, out)
            assert "another process is at work on this output" in done.stderr
            store.commit([record(0)])
        assert unfinished_rows(out, 2) == [1]

    def test_a_state_of_a_newer_version(self, out):
        commit_records(out, record(0))
        state = sqlite3.connect(out.with_name("out.jsonl.state"))
        state.execute("PRAGMA user_version = 99")
        state.execute("CREATE TABLE other (a)")
        state.close()
        assert "made by another version of hfgen" in refusal_message(out)
        assert unfinished_rows(out, 2, restart=True) == [0, 1]

    @pytest.mark.parametrize("restart", [False, True])
    def test_a_state_that_is_none(self, out, restart):
        state = out.with_name("out.jsonl.state")
        state.write_text("precious" * 1000)
        assert "no state of a bulk run, or damaged" in refusal_message(out, restart=restart)
        assert state.read_text() == "precious" * 1000

    @pytest.mark.parametrize("restart", [False, True])
    def test_a_database_of_another_program(self, out, restart):
        other = sqlite3.connect(out.with_name("out.jsonl.state"))
        other.execute("CREATE TABLE precious (a)")
        other.close()
        assert "belongs to another program" in refusal_message(out, restart=restart)

    def test_a_damaged_state(self, out):
        commit_records(out, *(record(n) for n in range(1000)))
        state = out.with_name("out.jsonl.state")
        data = bytearray(state.read_bytes())
        data[4096:] = b"\xa5" * (len(data) - 4096)
        state.write_bytes(data)
        assert "damaged" in refusal_message(out)

    def test_a_state_that_is_damaged_anywhere(self, out, tmp_path):
        """It is refused, or does not matter; and the output stays as it is."""
        commit_records(out, *(record(n, "ServerError" if n % 3 else None) for n in range(60)))
        state, chance = out.with_name("out.jsonl.state"), random.Random(14)
        whole, output = state.read_bytes(), out.read_bytes()
        refused = 0
        for _ in range(150):
            data = bytearray(whole)
            start = chance.randrange(len(data))
            for position in range(start, min(start + chance.choice([1, 1, 8, 100]), len(data))):
                data[position] = chance.randrange(256)
            state.write_bytes(data[: chance.choice([len(data), len(data), start])])
            try:
                with open_store(out) as store:
                    assert len(list(store.read_lines())) == store.done
            except BulkFileError:
                refused += 1
            assert out.read_bytes() == output
            assert {path.name for path in tmp_path.iterdir()} <= {out.name, state.name}
        assert refused > 20

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE meta SET value = CAST('x' AS BLOB) WHERE key = 'end'",
            "UPDATE meta SET value = '7' WHERE key = 'end'",
            "UPDATE meta SET value = CAST('7' AS BLOB) WHERE key = 'end'",
            "UPDATE meta SET value = CAST('[1]' AS BLOB) WHERE key = 'settings'",
            "UPDATE meta SET value = CAST('\"in.jsonl\"' AS BLOB) WHERE key = 'scratch'",
            "DELETE FROM meta WHERE key = 'pending'",
            "DELETE FROM meta WHERE key = 'tail'",
            "DROP TABLE meta",
            "DROP TABLE rows",
            "DELETE FROM rows",
            "DELETE FROM rows WHERE idx = 1",
            "UPDATE rows SET offset = 'x' WHERE idx = 1",
            "UPDATE rows SET error = CAST(x'ff' AS TEXT) WHERE idx = 1",
            "UPDATE rows SET generated_tokens = 'x' WHERE idx = 1",
            "UPDATE rows SET idx = -1 WHERE idx = 1",
        ],
    )
    def test_a_state_with_other_values(self, out, tmp_path, statement):
        (tmp_path / "in.jsonl").write_text("precious\n")
        commit_records(out, record(0), record(1), record(2))
        output = out.read_bytes()
        state = sqlite3.connect(out.with_name("out.jsonl.state"))
        state.execute(statement)
        state.commit()
        state.close()
        assert "no state of a bulk run, or damaged: " in refusal_message(out)
        assert out.read_bytes() == output
        assert (tmp_path / "in.jsonl").read_text() == "precious\n"

    @pytest.mark.parametrize("ending", ["-journal", "-wal"])
    def test_files_of_others_where_the_database_has_its_own(self, out, ending):
        other = out.with_name(f"out.jsonl.state{ending}")
        other.write_text("precious\n")
        for options in ({}, {"restart": True}):
            assert f"{other} belongs to another program" in refusal_message(out, **options)
            assert f"{other} is the input" in refusal_message(out, source=other, **options)
        assert other.read_text() == "precious\n"

    @pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no folder like it")
    def test_a_folder_that_cannot_be_written(self):
        # Not even by root, as which some run tests.
        message = refusal_message(Path("/proc/out.jsonl"))
        assert "cannot write /proc/out.jsonl.state: unable to open database file" in message

    def test_a_refusal_lets_go(self, out):
        commit_records(out, record(0))
        refusal_message(out, settings={})
        assert unfinished_rows(out, 2) == [1]


class TestRestart:
    def test_it_begins_anew_with_what_is_given(self, out):
        commit_records(out, record(0), record(1))
        commit_records(out, record(2), settings={"input": "another"}, restart=True)
        assert ids(out) == [2]
        assert unfinished_rows(out, 3, settings={"input": "another"}) == [0, 1]

    def test_over_a_file_that_is_there(self, out):
        out.write_text("not precious\n")
        commit_records(out, record(0), restart=True)
        assert ids(out) == [0]

    def test_over_an_output_that_is_gone(self, out):
        commit_records(out, record(0))
        out.unlink()
        assert unfinished_rows(out, 1, restart=True) == [0]


class TestRewriting:
    def test_rows_with_errors_remain_to_be_done(self, out):
        commit_records(
            out, record(4), record(1, "ServerError"), record(0, tokens=3), record(2, "TimeoutError")
        )
        with open_store(out) as store:
            store.forget_errors()
            assert (store.done, store.errors, store.generated_tokens) == (2, {}, 3)
            assert [row.index for row in store.skip_finished(rows(6))] == [1, 2, 3, 5]
            store.commit([record(1)])
        assert sorted(ids(out)) == [0, 1, 4]
        assert unfinished_rows(out, 6) == [2, 3, 5]

    def test_without_errors_nothing_is_rewritten(self, out):
        commit_records(out, record(1), record(0))
        before = out.stat().st_ino
        with open_store(out) as store:
            store.forget_errors()
        assert (out.stat().st_ino, ids(out)) == (before, [1, 0])

    def test_the_order_of_the_input(self, out):
        indices = [n * 7919 % 3001 for n in range(3001)]
        commit_records(
            out, *(record(n, "ServerError" if n % 5 else None, tokens=1) for n in indices)
        )
        with open_store(out) as store:
            store.sort()
            assert (store.done, store.generated_tokens) == (3001, 3001)
            store.commit([record(3001)])
        assert ids(out) == list(range(3002))
        assert unfinished_rows(out, 3003) == [3002]

    def test_what_is_in_order_stays_as_it_is(self, out):
        commit_records(out, *(record(n) for n in range(10)))
        before = out.stat().st_ino
        with open_store(out) as store:
            store.sort()
        assert out.stat().st_ino == before

    def test_a_link_still_leads_to_the_output(self, out, tmp_path):
        link = tmp_path / "link.jsonl"
        link.symlink_to(out)
        commit_records(link, record(1), record(0))
        with open_store(link) as store:
            store.sort()
        assert link.is_symlink()
        assert ids(out) == [0, 1]

    def test_an_output_that_was_changed_is_not_rewritten(self, out):
        commit_records(out, record(1, size=100), record(0, size=100))
        data = out.read_bytes().replace(b'x"}\n', b"xxxx", 1)
        out.write_bytes(data)
        with open_store(out) as store, pytest.raises(BulkFileError, match="was changed"):
            store.sort()
        assert out.read_bytes() == data
        assert {path.name for path in out.parent.iterdir()} == {"out.jsonl", "out.jsonl.state"}

    def test_files_of_others_stay(self, out, tmp_path):
        others = [tmp_path / f"out.jsonl.{ending}" for ending in ("rewrite", "new", "tmp")]
        for other in others:
            other.write_text("precious\n")
        commit_records(out, record(1), record(0, "ServerError"))
        with open_store(out, source=others[0]) as store:
            store.sort()
            store.forget_errors()
        assert {other.read_text() for other in others} == {"precious\n"}
        assert len(list(tmp_path.iterdir())) == 5


class TestChangedMeanwhile:
    @pytest.fixture
    def store(self, tmp_path):
        (tmp_path / "folder").mkdir()
        with open_store(tmp_path / "folder" / "out.jsonl") as store:
            store.commit([record(0)])
            yield store

    @pytest.mark.parametrize(
        "change",
        [
            lambda folder: (folder / "out.jsonl").unlink(),
            lambda folder: (folder / "out.jsonl.state").unlink(),
            lambda folder: (folder / "out.jsonl").rename(folder / "other"),
            lambda folder: folder.rename(folder.with_name("other")),
            shutil.rmtree,
            lambda folder: shutil.copy(folder / "out.jsonl", folder / "copy").rename(
                folder / "out.jsonl"
            ),
        ],
    )
    def test_an_output_that_is_no_longer_there(self, store, tmp_path, change):
        change(tmp_path / "folder")
        for step in (store.check_in_place, lambda: store.commit([record(1)])):
            with pytest.raises(BulkFileError, match="was removed, moved or replaced while the run"):
                step()
        assert store.done == 1

    @pytest.mark.parametrize(
        ("content", "message"),
        [(b"", "was changed: it has 0 bytes"), (b"x" * 99, "has 77 bytes that no run has written")],
    )
    def test_an_output_that_others_write(self, store, tmp_path, content, message):
        out = tmp_path / "folder" / "out.jsonl"
        out.write_bytes(content)
        with pytest.raises(BulkFileError, match=message):
            store.commit([record(1)])
        with pytest.raises(BulkFileError, match=message):
            store.check_in_place()
        assert out.read_bytes() == content


def test_lines_come_in_the_order_of_the_input(out):
    commit_records(out, *(record(n) for n in (2, 0, 3000)))
    with open_store(out) as store:
        assert [index for index, _ in store.read_lines()] == [0, 2, 3000]
        assert [line for _, line in store.read_lines()] == [record(n).line for n in (0, 2, 3000)]


def test_a_copy_of_output_and_state_goes_on_elsewhere(out, tmp_path):
    commit_records(out, record(0))
    (tmp_path / "other").mkdir()
    for file in (out, out.with_name("out.jsonl.state")):
        shutil.copy(file, tmp_path / "other")
    assert unfinished_rows(tmp_path / "other" / "out.jsonl", 2) == [1]


def test_the_state_has_the_lines_before_the_output_has(out, monkeypatch):
    steps = []

    def note_calls(function, step):
        def wrapper(*arguments):
            steps.append(step(*arguments))
            return function(*arguments)

        return wrapper

    with open_store(out) as store:
        monkeypatch.setattr(
            os, "fsync", note_calls(os.fsync, lambda _: f"sync {out.stat().st_size}")
        )
        monkeypatch.setattr(
            State, "execute", note_calls(State.execute, lambda _, text, *__: text.partition(" ")[0])
        )
        store.commit([record(0)])
    size = len(record(0).line)
    assert [step for step in steps if step == "COMMIT" or "sync" in step] == [
        "COMMIT",
        f"sync {size}",
    ]


BEFORE = {
    "input": "abc",
    "model": "a/b",
    "template": None,
    "parameters": {"top_k": 5, "stop": ["x"]},
}


def check_settings(**changes):
    _check_same_run(Path("out.jsonl"), BEFORE, {**BEFORE, **changes})


def test_a_run_with_the_same_settings_goes_on():
    check_settings()
    check_settings(provider=None, parameters={"stop": ["x"], "top_k": 5, "seed": None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": "abd"}, "the input is another one, or was changed"),
        ({"input": None}, "the input is another one, or was changed"),
        ({"model": "a/c"}, 'model was "a/b", is "a/c"'),
        ({"model": None}, 'model was "a/b", is not given'),
        ({"template": "{a}"}, 'template was not given, is "{a}"'),
        ({"parameters": {"stop": ["x"]}}, "parameters.top_k was 5, is not given"),
        ({"parameters": {"top_k": 5, "stop": ["y"]}}, r'parameters.stop was \["x"\], is \["y"\]'),
        ({"model": "c", "input": "d"}, 'was changed; model was "a/b", is "c"'),
    ],
)
def test_a_setting_that_differs_is_named(changes, message):
    with pytest.raises(BulkFileError, match=message) as caught:
        check_settings(**changes)
    assert "out.jsonl was begun differently" in caught.value.message
    assert "--restart" in caught.value.message
