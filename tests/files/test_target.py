"""The output, and what lies beside it."""

import pytest

from hfgen import BulkFileError
from hfgen._files.target import Target


def test_rows_are_added_to_json_lines_themselves(tmp_path):
    output = Target.from_name(str(tmp_path / "out.jsonl"))
    assert (output.path, output.rows) == (tmp_path / "out.jsonl", tmp_path / "out.jsonl")
    assert output.state == tmp_path / "out.jsonl.state"
    assert not output.is_exported


@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl.gz", "out.jsonl.zst"])
def test_others_are_made_at_the_end(tmp_path, name):
    output = Target.from_name(str(tmp_path / name))
    assert output.is_exported
    assert output.rows == tmp_path / f"{name}.rows.jsonl"
    assert output.state == tmp_path / f"{name}.state"


def test_two_names_of_a_file_are_one_output(tmp_path):
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "out.jsonl")
    assert Target.from_name(str(tmp_path / "link.jsonl")) == Target.from_name(
        str(tmp_path / "out.jsonl")
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out", "its ending is not a format"),
        ("out.txt", "txt cannot be written"),
        ("out.txt.gz", "txt.gz cannot be written"),
        ("none/out.jsonl", "there is no folder"),
        ("folder.jsonl", "not a regular file"),
    ],
)
def test_what_cannot_be_written(tmp_path, name, message):
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(BulkFileError, match=message):
        Target.from_name(str(tmp_path / name))


def test_standard_output_is_no_file():
    with pytest.raises(BulkFileError, match="the output is a file"):
        Target.from_name("-")


def test_a_device_is_no_output():
    with pytest.raises(BulkFileError, match="not a regular file"):
        Target.from_name("/dev/null", "jsonl")
