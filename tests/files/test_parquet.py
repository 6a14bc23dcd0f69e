"""Parquet as rows."""

import datetime as dt
import io
from decimal import Decimal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfgen import BulkFileError, InvalidRequestError
from hfgen._files import parquet
from hfgen._files.parquet import Shape
from hfgen._files.prompt import Prompt
from hfgen._files.row import encode


def write_table(table, **options):
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    stream.seek(0)
    return stream


def test_values_are_pythons_own():
    day = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    values = {
        "inputs": "a", "n": 2**60, "when": day, "price": Decimal("1.10"),
        "tags": ["x", None], "meta": {"k": 1}, "raw": b"\xff", "nothing": None,
    }  # fmt: skip
    (row,) = parquet.read_rows(write_table(pa.Table.from_pylist([values])))
    assert row.columns == values
    assert msgspec.json.decode(encode(row.columns)) == {
        "inputs": "a", "n": 2**60, "when": "2026-01-02T03:04:05Z", "price": "1.10",
        "tags": ["x", None], "meta": {"k": 1}, "raw": "/w==", "nothing": None,
    }  # fmt: skip


def test_nanoseconds_are_kept_as_text():
    table = pa.table({"t": pa.array([1, None], pa.timestamp("ns"))})
    first, second = parquet.read_rows(write_table(table))
    assert first.columns == {"t": "1970-01-01T00:00:00.000000001"}
    assert second.columns == {"t": None}


def test_indices_go_through_all_batches_and_row_groups():
    count = 2 * parquet.BATCH_ROWS + 7
    stream = write_table(pa.table({"n": range(count)}), row_group_size=500)
    assert [(row.index, row.columns["n"]) for row in parquet.read_rows(stream)] == [
        (n, n) for n in range(count)
    ]
    assert parquet.count_rows(stream) == count


def test_text_that_is_no_utf8_spoils_its_own_row():
    raw = pa.array([b"a", b"\xff", b"c"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    nested = pa.StructArray.from_arrays([text, pa.array([1, 2, 3])], ["a", "b"])
    table = pa.table({"inputs": ["x", "y", "z"], "text": text, "nested": nested})
    rows = list(parquet.read_rows(write_table(table)))
    assert [row.index for row in rows] == [0, 1, 2]
    assert [Prompt()(row)["inputs"] for row in rows] == ["x", "y", "z"]
    written = [msgspec.json.decode(encode(row.columns)) for row in rows]
    assert [columns["text"] for columns in written] == ["a", "\ufffd", "c"]
    assert written[1]["nested"] == {"a": "\ufffd", "b": 2}
    for column in ("text", "nested"):
        assert rows[0].value(column)
        with pytest.raises(InvalidRequestError, match=f"column '{column}' cannot be read: not UTF"):
            rows[1].value(column)


def test_what_is_no_parquet():
    with pytest.raises(BulkFileError, match="not a Parquet file"):
        list(parquet.read_rows(io.BytesIO(b"PAR1 and something else")))


def test_a_damaged_file():
    data = bytearray(write_table(pa.table({"s": [str(n) * 40 for n in range(5000)]})).getvalue())
    data[1000:3000] = b"\xa5" * 2000
    with pytest.raises(BulkFileError, match="damaged after row"):
        list(parquet.read_rows(io.BytesIO(bytes(data))))


def test_a_column_that_is_there_twice():
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(BulkFileError, match="a column twice: a, a"):
        list(parquet.read_rows(write_table(table)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def column(values):
    """Type and values, as Parquet would have them."""
    shape = Shape()
    for value in values:
        shape.add(value)
    array = pa.array([shape.fit(value) for value in values], shape.arrow_type(pa))
    return str(array.type), array.to_pylist()


@pytest.mark.parametrize(
    ("values", "kind", "stored"),
    [
        ([None, None], "string", [None, None]),
        ([True, None], "bool", [True, None]),
        ([1, -(2**63)], "int64", [1, -(2**63)]),
        ([1, 0.5], "double", [1.0, 0.5]),
        # A number that a float does not hold keeps its value, wherever it comes.
        ([2**53, 0.5], "double", [2.0**53, 0.5]),
        ([2**53 + 1, 0.5], "string", ["9007199254740993", "0.5"]),
        ([0.5, 1, -(2**53) - 1], "string", ["0.5", "1", "-9007199254740993"]),
        ([2**60, None, 0.5], "double", [2.0**60, None, 0.5]),
        ([[2**53 + 1], [0.5]], "list<item: string>", [["9007199254740993"], ["0.5"]]),
        ([{"a": 0.5}, {"a": 2**53 + 1}], "struct<a: string>",
         [{"a": "0.5"}, {"a": "9007199254740993"}]),
        (["a", None], "string", ["a", None]),
        ([1, "a"], "string", ["1", "a"]),
        ([True, 1], "string", ["true", "1"]),
        ([2**63, 1], "string", ["9223372036854775808", "1"]),
        ([[1], [], None], "list<item: int64>", [[1], [], None]),
        ([[1], [0.5, None]], "list<item: double>", [[1.0], [0.5, None]]),
        ([[1, "a"]], "list<item: string>", [["1", "a"]]),
        ([[1], 1], "string", ["[1]", "1"]),
        ([{"a": 1}, {"b": None}], "struct<a: int64, b: string>",
         [{"a": 1, "b": None}, {"a": None, "b": None}]),
        ([{"a": {"b": [1]}}, {"a": {"b": "x"}}], "struct<a: struct<b: string>>",
         [{"a": {"b": "[1]"}}, {"a": {"b": "x"}}]),
        ([{}, {}], "string", ["{}", "{}"]),
        ([{"a": 1}, "b", {"a": 2}], "string", ['{"a":1}', "b", '{"a":2}']),
    ],
)  # fmt: skip
def test_the_rule(values, kind, stored):
    assert column(values) == (kind, stored)


def test_an_object_of_many_names_is_a_map():
    kind, stored = column([{f"key {n}": n} for n in range(300)])
    assert kind == "string"
    assert stored[7] == '{"key 7":7}'


@pytest.mark.parametrize(("begin", "end"), ["[]", ('{"a":', "}")])
def test_what_is_nested_deeper_than_can_be_read_is_text_there(begin, end):
    value = msgspec.json.decode(begin * 900 + "1" + end * 900)
    shape, file = Shape(), io.BytesIO()
    shape.add(value)
    pq.write_table(pa.table({"a": pa.array([shape.fit(value)], shape.arrow_type(pa))}), file)
    (stored,) = pq.read_table(file)["a"].to_pylist()
    for _ in range(32):
        (stored,) = stored.values() if isinstance(stored, dict) else stored
    assert stored == begin * 868 + "1" + end * 868


@given(st.lists(JSON, max_size=5))
def test_any_json_gets_a_type(values):
    _, stored = column(values)
    assert [value is None for value in stored] == [value is None for value in values]
