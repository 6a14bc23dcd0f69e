"""A full disk is told of, and what was committed goes on when there is room."""

import shutil
from dataclasses import replace

import pytest

from helpers.finished_rows import ids, limit_file_size, open_store, record, rows, run
from hfgen import BulkFileError

# Which of the files reaches the limit first: the output, or its state.
SIZES = {"the output": (500, 0), "the state": (0, 500)}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.jsonl"


def fill(out, full):
    """Commit until there is no room; return the error and the rows that were committed."""
    in_line, in_state = SIZES[full]
    done = []
    with open_store(out) as store, limit_file_size(200_000):
        try:
            while True:
                row = record(len(done), size=in_line)
                store.commit([replace(row, error="E" * in_state or None)])
                done.append(len(done))
        except BulkFileError as error:
            full = error
        with pytest.raises(BulkFileError) as again:
            store.commit([record(len(done))])
    assert again.value is full
    return full, done


@pytest.mark.parametrize("full", SIZES)
def test_it_goes_on_when_there_is_room(out, full):
    error, done = fill(out, full)
    assert len(done) > 100
    file = out if full == "the output" else out.with_name("out.jsonl.state")
    assert error.message.startswith(f"cannot write {file}: ")
    assert "What was committed is safe" in error.message
    with open_store(out) as store:
        found = [n for n, _ in store.read_lines()]
        # The state may have had room for one more.
        assert found in (done, [*done, len(done)])
        done = found
        rest = [row.index for row in store.skip_finished(rows(len(done) + 10))]
        assert rest == list(range(len(done), len(done) + 10))
        store.commit([record(n) for n in rest])
    assert ids(out) == [*done, *rest]


def test_a_reader_sees_whole_lines_on_a_full_disk(out):
    _, done = fill(out, "the output")
    assert ids(out) == done


@pytest.mark.parametrize("verb", ["sort", "forget_errors"])
def test_a_rewriting_without_room_leaves_all_as_it_was(out, verb):
    with open_store(out) as store:
        store.commit([record(n, "ServerError" if n == 5 else None, size=900) for n in (3, 1, 5, 2)])
        store.commit([record(n, size=900) for n in range(200, 100, -1)])
        before = out.read_bytes()
        with (
            limit_file_size(50_000),
            pytest.raises(BulkFileError, match="cannot write "),
        ):
            getattr(store, verb)()
        assert out.read_bytes() == before
        assert {path.name for path in out.parent.iterdir()} == {
            "out.jsonl", "out.jsonl.state", "out.jsonl.state-journal",
        }  # fmt: skip
    with open_store(out) as store:
        store.commit([record(7)])
        getattr(store, verb)()
    expected = [1, 2, 3, 5, 7, *range(101, 201)]
    if verb == "forget_errors":
        expected.remove(5)
    assert ids(out) == expected


SCRIPT = """
import sys
from helpers.finished_rows import ids, open_store, record, rows
from hfgen import BulkFileError

out, ballast = sys.argv[1:]
with open(ballast, "wb") as file:
    file.write(bytes(300_000))
with open_store(out) as store:
    done = []
    try:
        for index in range(100_000):
            store.commit([record(index, size=200)])
            done.append(index)
    except BulkFileError as error:
        print(error.message)
open(ballast, "wb").close()
with open_store(out) as store:
    # The state may have had room for one more.
    done = [index for index, _ in store.read_lines()]
    rest = [row.index for row in store.skip_finished(rows(len(done) + 10))]
    assert rest == list(range(len(done), len(done) + 10)), rest
    store.commit([record(index) for index in rest])
assert ids(out) == [*done, *rest]
"""


def test_a_file_system_that_is_full(tmp_path):
    """One of 1 MiB, where this user may mount one."""
    if shutil.which("unshare") is None:
        pytest.skip("no file system can be mounted here")
    mount = 'mount -t tmpfs -o size=1m tmpfs "$1" && echo mounted >&2 && shift && exec "$@"'
    done = run(
        "-c",
        SCRIPT,
        tmp_path / "out.jsonl",
        tmp_path / "ballast",
        before=("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "", tmp_path),
    )
    if "mounted" not in done.stderr:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert "cannot write" in done.stdout
    assert not list(tmp_path.iterdir())
