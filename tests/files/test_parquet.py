"""Parquet as rows."""

import datetime as dt
import io
from decimal import Decimal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfgen import BulkFileError
from hfgen._files import parquet
from hfgen._files.row import encode


def made(table, **options):
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
    (row,) = parquet.rows(made(pa.Table.from_pylist([values])))
    assert row.columns == values
    assert msgspec.json.decode(encode(row.columns)) == {
        "inputs": "a", "n": 2**60, "when": "2026-01-02T03:04:05Z", "price": "1.10",
        "tags": ["x", None], "meta": {"k": 1}, "raw": "/w==", "nothing": None,
    }  # fmt: skip


def test_nanoseconds_are_kept_as_text():
    table = pa.table({"t": pa.array([1, None], pa.timestamp("ns"))})
    first, second = parquet.rows(made(table))
    assert first.columns == {"t": "1970-01-01 00:00:00.000000001"}
    assert second.columns == {"t": None}


def test_indices_go_through_all_batches_and_row_groups():
    count = 2 * parquet.BATCH_ROWS + 7
    stream = made(pa.table({"n": range(count)}), row_group_size=500)
    assert [(row.index, row.columns["n"]) for row in parquet.rows(stream)] == [
        (n, n) for n in range(count)
    ]
    assert parquet.count(stream) == count


def test_text_that_is_no_utf8_spoils_its_own_row():
    raw = pa.array([b"a", b"\xff", b"c"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    rows = list(parquet.rows(made(pa.table({"inputs": text}))))
    assert [row.index for row in rows] == [0, 1, 2]
    assert rows[1].problem.startswith("not readable: ")
    assert [rows[0].columns, rows[2].columns] == [{"inputs": "a"}, {"inputs": "c"}]


def test_what_is_no_parquet():
    with pytest.raises(BulkFileError, match="no Parquet file"):
        list(parquet.rows(io.BytesIO(b"PAR1 and something else")))


def test_a_damaged_file():
    data = bytearray(made(pa.table({"s": [str(n) * 40 for n in range(5000)]})).getvalue())
    data[1000:3000] = b"\xa5" * 2000
    with pytest.raises(BulkFileError, match="damaged behind row"):
        list(parquet.rows(io.BytesIO(bytes(data))))


def test_a_column_that_is_there_twice():
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(BulkFileError, match="a column twice: a, a"):
        list(parquet.rows(made(table)))
