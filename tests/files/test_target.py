"""The output, and what lies beside it."""

import pytest

from hfgen import BulkFileError
from hfgen._files.target import target


def test_rows_are_added_to_json_lines_themselves(tmp_path):
    given = target(str(tmp_path / "out.jsonl"))
    assert (given.path, given.rows) == (tmp_path / "out.jsonl", tmp_path / "out.jsonl")
    assert given.state == tmp_path / "out.jsonl.state"
    assert not given.is_exported


@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl.gz", "out.jsonl.zst"])
def test_others_are_made_at_the_end(tmp_path, name):
    given = target(str(tmp_path / name))
    assert given.is_exported
    assert given.rows == tmp_path / f"{name}.rows.jsonl"
    assert given.state == tmp_path / f"{name}.state"


def test_two_names_of_a_file_are_one_output(tmp_path):
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "out.jsonl")
    assert target(str(tmp_path / "link.jsonl")) == target(str(tmp_path / "out.jsonl"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out", "its ending says nothing"),
        ("out.csv", "csv is not written"),
        ("out.txt.gz", "txt.gz is not written"),
        ("none/out.jsonl", "there is no folder"),
        ("folder.jsonl", "no regular file"),
    ],
)
def test_what_cannot_be_written(tmp_path, name, message):
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(BulkFileError, match=message):
        target(str(tmp_path / name))


def test_standard_output_is_no_file():
    with pytest.raises(BulkFileError, match="the output is a file"):
        target("-")


def test_a_device_is_no_output():
    with pytest.raises(BulkFileError, match="no regular file"):
        target("/dev/null", "jsonl")
