"""CSV and TSV as rows."""

import io

import pytest

from hfgen import BulkFileError
from hfgen._files.delimited import Delimited

CSV, TSV = Delimited(","), Delimited("\t")


def read(data, how=CSV):
    return list(how.rows(io.BytesIO(data)))


def columns(data, how=CSV):
    return [row.columns for row in read(data, how)]


def test_the_first_record_names_the_columns():
    assert columns(b'id,text\r\n1,"a ""b"",\nc"\r\n\r\n2,\xc3\xbc\n') == [
        {"id": "1", "text": 'a "b",\nc'},
        {"id": "2", "text": "ü"},
    ]
    assert columns(b"id\ttext\n1\ta,b\n", TSV) == [{"id": "1", "text": "a,b"}]


def test_a_prompt_may_be_long():
    assert columns(b"text\n" + b"x" * 200_000 + b"\n") == [{"text": "x" * 200_000}]


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (b"1", "it has 1 fields, the first line 2"),
        (b"1,2,3", "it has 3 fields, the first line 2"),
        (b'1,"a"b', "not CSV: "),
        (b"1,\xff", "not UTF-8"),
    ],
)
def test_a_record_that_does_not_fit_is_a_row_with_a_problem(record, problem):
    before, bad, after = read(b"id,text\n0,a\n" + record + b"\n2,b\n")
    assert before.problem is None
    assert bad.problem.startswith(problem)
    assert bad.columns == {"row": record.decode("utf-8", "replace")}
    assert (after.index, after.problem, after.columns) == (2, None, {"id": "2", "text": "b"})


def test_a_quote_without_its_end_is_told_of():
    first, last = read(b'id,text\n0,a\n1,"b\n2,c\n')
    assert first.problem is None
    assert "unexpected end of data" in last.problem
    assert last.columns == {"row": '1,"b\n2,c'}


def test_a_quote_without_its_end_swallows_so_much_and_no_more():
    line = b"x" * 999 + b"\n"
    swallowed, *rest = read(b'text\n"' + line * 17_000)
    assert "field larger than field limit" in swallowed.problem
    assert 16_000_000 < len(swallowed.columns["row"]) < 17_000_000
    assert all(row.columns == {"text": "x" * 999} for row in rest)


def test_columns_need_names_of_their_own():
    with pytest.raises(BulkFileError, match="names the column 'a' twice"):
        read(b"a,b,a\n1,2,3\n")


def test_a_first_line_that_cannot_be_read():
    with pytest.raises(BulkFileError, match="the first line shall name the columns: not UTF-8"):
        read(b"a,\xff\n1,2\n")


def test_an_empty_file_has_no_rows():
    assert read(b"") == []
    assert CSV.count(io.BytesIO(b"")) == 0


def test_the_count_is_that_of_the_rows():
    data = b'a\n"1\n2"\n\n\xff\n4\n'
    assert CSV.count(io.BytesIO(data)) == len(read(data)) == 3
