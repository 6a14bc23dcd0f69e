"""What a file holds, by its name."""

import pytest

from hfgen import BulkFileError
from hfgen._files.formats import READABLE, detect_encoding


@pytest.mark.parametrize(
    ("name", "given", "encoding"),
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
def test_by_the_endings_or_as_given(name, given, encoding):
    assert str(detect_encoding(name, given=given, allowed=READABLE)) == encoding


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("a", None, "a: its ending says nothing; name one: jsonl, "),
        ("jsonl", None, "its ending says nothing"),
        ("a.gz", None, "its ending says nothing"),
        ("a.xlsx", None, "its ending says nothing"),
        ("a.jsonl", "xml", "'xml' is no format"),
        ("a.jsonl", "", "'' is no format"),
        ("a.json", None, "jq -c"),
        ("a.parquet.gz", None, "compressed inside"),
    ],
)
def test_what_cannot_be_told(name, given, message):
    with pytest.raises(BulkFileError, match=message):
        detect_encoding(name, given=given, allowed=READABLE)
