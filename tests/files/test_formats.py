"""What a file holds, by its name."""

import pytest

from hfgen import BulkFileError
from hfgen._files.formats import READABLE, detect_encoding


@pytest.mark.parametrize(
    ("name", "endings", "encoding"),
    [
        ("a.jsonl", None, "jsonl"),
        ("a.b/c.NDJSON", None, "jsonl"),
        ("a.jsonl.gz", None, "jsonl.gz"),
        ("a.txt.zst", None, "txt.zst"),
        ("a.v2.csv", None, "csv"),
        ("a.tsv.gz", None, "tsv.gz"),
        ("a.parquet", None, "parquet"),
        ("a", "jsonl", "jsonl"),
        ("a.txt", "csv", "csv"),
        ("a.gz", "jsonl", "jsonl"),
        ("a", "jsonl.gz", "jsonl.gz"),
    ],
)
def test_by_the_endings_or_as_given(name, endings, encoding):
    assert str(detect_encoding(name, endings=endings, allowed=READABLE)) == encoding


@pytest.mark.parametrize(
    ("name", "endings", "message"),
    [
        ("a", None, "a: its ending is not a format; use one of: jsonl, "),
        ("jsonl", None, "its ending is not a format"),
        ("a.gz", None, "its ending is not a format"),
        ("a.xlsx", None, "its ending is not a format"),
        ("a.jsonl", "xml", "'xml' is not a format"),
        ("a.jsonl", "", "'' is not a format"),
        ("a.json", None, "jq -c"),
        ("a.parquet.gz", None, "compressed inside"),
    ],
)
def test_what_cannot_be_told(name, endings, message):
    with pytest.raises(BulkFileError, match=message):
        detect_encoding(name, endings=endings, allowed=READABLE)
