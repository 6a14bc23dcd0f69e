"""Plain text, JSON Lines, CSV and TSV as rows."""

import io
import pickle

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfgen import BulkFileError, InvalidRequestError
from hfgen._files import text as lines
from hfgen._files.prompt import Prompt
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
        (b'{"a": NaN', "not JSON: "),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not JSON: "),
        (b'"a prompt"', "not a JSON object: expected `object`, got `str`"),
        (b"[1]", "not a JSON object: expected `object`, got `array`"),
        (b"null", "not a JSON object: "),
        (b'{"a": "\xff"', "not UTF-8: byte 0xff at 7 in the line"),
        (b'["\xff"]', "not UTF-8: "),
        (b'["a", NaN]', "not a JSON object: "),
    ],
)
def test_a_line_that_is_no_object_is_a_row_with_a_problem(line, problem):
    before, bad, after = objects(b'{"a":1}\n' + line + b'\n{"a":2}\n')
    assert (before.problem, after.problem, after.index) == (None, None, 2)
    assert bad.problem.startswith(problem)
    assert bad.index == 1
    assert bad.columns == {"row": line.decode("utf-8", "replace")}


@pytest.mark.parametrize(
    ("value", "kept", "problem"),
    [
        (b"NaN", None, "nan is not JSON"),
        (b'{"a": [1.10, -Infinity]}', {"a": [1.1, None]}, "-inf is not JSON"),
        (b'"a \\ud83d b"', "a \ufffd b", "half of a surrogate pair"),
        (b'["\\ude00\\ud83d"]', ["\ufffd\ufffd"], "half of a surrogate pair"),
        (b'"a\xff"', "a\ufffd", "bytes that are not UTF-8"),
        (b'{"\xff": 1}', {"\ufffd": 1}, "bytes that are not UTF-8"),
    ],
)
def test_only_the_column_with_such_a_value_cannot_be_read(value, kept, problem):
    number = b"123456789012345678901234567890.10"
    line = b'{"inputs": "\\ud83d\\ude00", "n": %b, "bad": %b, "x": {"a": []}}'
    (row,) = objects(line % (number, value))
    assert row.problem is None
    assert row.value("inputs") == "\U0001f600"
    assert bytes(row.columns["n"]) == number
    assert row.value("x") == {"a": []}
    assert msgspec.json.decode(encode(row.columns))["bad"] == kept
    with pytest.raises(InvalidRequestError, match=f"column 'bad' cannot be read: .*{problem}"):
        row.value("bad")
    assert Prompt()(row) == {"inputs": "\U0001f600"}
    with pytest.raises(InvalidRequestError, match="column 'bad' cannot be read: "):
        Prompt("{inputs} {bad}")(row)
    assert len(row.digest()) == 8
    assert encode(pickle.loads(pickle.dumps(row)).columns) == encode(row.columns)


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


def test_only_the_field_that_is_not_utf8_cannot_be_read():
    (row,) = read(b'id,text,note\n1,"a\r\nb",\xff!\n')
    assert (row.problem, row.value("id"), row.value("text")) == (None, "1", "a\r\nb")
    assert msgspec.json.decode(encode(row.columns))["note"] == "\ufffd!"
    with pytest.raises(InvalidRequestError, match="column 'note' cannot be read: not UTF-8"):
        row.value("note")


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_any_line_end(end):
    data = end.join([b"id,text", b'1,"a\rb\nc\r\nd"', b"", b"2,\xc3\xbc", b""])
    assert columns(data) == [{"id": "1", "text": "a\rb\nc\r\nd"}, {"id": "2", "text": "ü"}]
    assert CSV.count_rows(io.BytesIO(data)) == 2


@pytest.mark.parametrize("header", [b"inputs,,", b'inputs,""," "'])
def test_columns_without_a_name(header):
    data = header + b"\na,,\nb,,c\n"
    assert columns(data) == [{"inputs": "a"}, {"inputs": "b", "column_3": "c"}]
    assert CSV.count_rows(io.BytesIO(data)) == 2


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"a,b,a\n1,2,3\n", "has the column 'a' twice"),
        (b"a,\xff\n1,2\n", "not UTF-8"),
        (b'"a\n1,2\n', "not CSV: unexpected end of data"),
        (b'"a"b\n1,2\n', "not CSV: "),
    ],
)
def test_a_first_record_that_cannot_be_read_is_told_at_once(data, problem):
    message = f"the first line must name the columns: .*{problem}"
    for function in (CSV.count_rows, lambda stream: list(CSV.read_rows(stream))):
        with pytest.raises(BulkFileError, match=message):
            function(io.BytesIO(data))


def test_an_empty_file_has_no_rows():
    assert read(b"") == []
    assert CSV.count_rows(io.BytesIO(b"")) == 0


def test_the_count_of_csv_is_that_of_the_rows():
    data = b'a\n"1\n2"\n\n\xff\n4\n'
    assert CSV.count_rows(io.BytesIO(data)) == len(read(data)) == 3
