"""Plain text, JSON Lines, CSV and TSV as rows."""

import io

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfgen import BulkFileError
from hfgen._files import text as lines
from hfgen._files.row import encode
from hfgen._files.text import Delimited


def text(data):
    return list(lines.read_text_rows(io.BytesIO(data)))


def objects(data):
    return list(lines.read_json_rows(io.BytesIO(data)))


def test_each_line_is_a_prompt():
    assert [
        (row.index, row.columns) for row in text("one\r\nzwei ü \n\n \t\r\nthree".encode())
    ] == [
        (0, {"inputs": "one"}),
        (1, {"inputs": "zwei ü "}),
        (2, {"inputs": "three"}),
    ]


def test_lines_end_at_line_feeds_only():
    (row,) = text("a\rb\x0bc\u2028d\n".encode())
    assert row.columns == {"inputs": "a\rb\x0bc\u2028d"}


def test_what_is_no_utf8_spoils_its_own_line():
    first, second, third = text(b"one\nt\xffo\nthree\n")
    assert (first.problem, third.problem) == (None, None)
    assert second.problem == "not UTF-8: byte 0xff at 1 in the line"
    assert second.columns == {"row": "t\ufffdo"}
    assert (second.index, third.index) == (1, 2)


def test_the_count_is_that_of_the_rows():
    data = b"a\n\n \r\n\xff\nb"
    assert lines.count_lines(io.BytesIO(data)) == len(text(data)) == 3
    assert lines.count_lines(io.BytesIO(b"")) == len(text(b"")) == 0


def test_columns_are_kept_as_they_were_written():
    line = b'{"a":1.10000000000000000001,"b":[1e999,{"c":null}],"d":123456789012345678901234567890}'
    (row,) = objects(line + b"\r\n")
    assert encode(row.columns) == line


def test_blank_lines_are_no_objects():
    assert [row.index for row in objects(b'\n{"a":1}\n \r\n\t\n{"a":2}')] == [0, 1]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"not json", "not JSON: "),
        (b'{"inputs": "torn', "not JSON: "),
        (b"{'inputs': 'a'}", "not JSON: "),
        (b'{"inputs": "a"} b', "not JSON: "),
        (b'{"a": NaN}', "not JSON: "),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not JSON: "),
        (b'"a prompt"', "not a JSON object: expected `object`, got `str`"),
        (b"[1]", "not a JSON object: expected `object`, got `array`"),
        (b"null", "not a JSON object: "),
        (b'{"a": "\xff"}', "not UTF-8: byte 0xff at 7 in the line"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8: "),
        (b'{"a": "\\ud800"}', "not JSON: "),
    ],
)
def test_a_line_that_is_no_object_is_a_row_with_a_problem(line, problem):
    before, bad, after = objects(b'{"a":1}\n' + line + b'\n{"a":2}\n')
    assert (before.problem, after.problem, after.index) == (None, None, 2)
    assert bad.problem.startswith(problem)
    assert bad.index == 1
    assert bad.columns == {"row": line.decode("utf-8", "replace")}


@given(st.binary())
def test_any_bytes_are_rows_that_can_be_written_again(data):
    for number, row in enumerate(objects(data)):
        assert row.index == number
        assert msgspec.json.decode(encode(row.columns), type=dict[str, msgspec.Raw]) is not None
        assert len(row.digest()) == 8


CSV, TSV = Delimited(","), Delimited("\t")


def read(data, how=CSV):
    return list(how.read_rows(io.BytesIO(data)))


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
        (b"1", "it has 1 fields, the first line has 2"),
        (b"1,2,3", "it has 3 fields, the first line has 2"),
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
    with pytest.raises(BulkFileError, match="has the column 'a' twice"):
        read(b"a,b,a\n1,2,3\n")


def test_a_first_line_that_cannot_be_read():
    with pytest.raises(BulkFileError, match="the first line must name the columns: not UTF-8"):
        read(b"a,\xff\n1,2\n")


def test_an_empty_file_has_no_rows():
    assert read(b"") == []
    assert CSV.count_rows(io.BytesIO(b"")) == 0


def test_the_count_of_csv_is_that_of_the_rows():
    data = b'a\n"1\n2"\n\n\xff\n4\n'
    assert CSV.count_rows(io.BytesIO(data)) == len(read(data)) == 3
