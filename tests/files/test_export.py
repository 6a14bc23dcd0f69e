"""Outputs that are written at the end of a run."""

import csv
import datetime as dt
import gzip
import json
import sys
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.finished_rows import finish, limit_file_size, open_store, record
from hfgen import BulkFileError
from hfgen._files.export import check_export, export, keeps_input_columns
from hfgen._files.source import Source
from hfgen._files.target import Target

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

UNPACK = {"gz": gzip.decompress, "zst": zstd.decompress}
ERROR = "struct<type: string, message: string, status: int64, attempts: int64>"


def export_file(source, out):
    """Finish all rows of the input, and export the output."""
    with open_store(out) as store:
        finish(store, source, columns=not keeps_input_columns(source, Target.from_name(str(out))))
        export(store, source, Target.from_name(str(out)))
    assert not list(out.parent.glob("*.tmp"))
    return out


@pytest.fixture
def lines(tmp_path):
    """An input of JSON Lines."""

    def write_lines(*rows):
        path = tmp_path / "in.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return Source.from_name(str(path))

    return write_lines


@pytest.fixture
def table(tmp_path):
    """An input of Parquet."""

    def write_table(table, **options):
        pq.write_table(table, tmp_path / "in.parquet", **options)
        return Source.from_name(str(tmp_path / "in.parquet"))

    return write_table


class TestParquetOfJson:
    def test_columns_then_results(self, lines, tmp_path):
        source = lines({"id": 1, "inputs": "a b"}, {"inputs": "c", "score": 0.5}, {"id": 3})
        read = pq.read_table(export_file(source, tmp_path / "out.parquet"))
        assert {field.name: str(field.type) for field in read.schema} == {
            "id": "int64",
            "inputs": "string",
            "score": "double",
            "generated_text": "string",
            "finish_reason": "string",
            "generated_tokens": "int64",
            "error": ERROR,
        }
        first, second, third = read.to_pylist()
        assert first == {
            "id": 1, "inputs": "a b", "score": None, "generated_text": "a b",
            "finish_reason": "length", "generated_tokens": 2, "error": None,
        }  # fmt: skip
        assert (second["score"], second["id"]) == (0.5, None)
        assert third["error"]["type"] == "InvalidRequestError"
        assert third["generated_text"] is None

    def test_the_types_of_results_are_always_the_same(self, lines, tmp_path):
        schema = pq.read_schema(export_file(lines(), tmp_path / "out.parquet"))
        assert schema.names == ["generated_text", "finish_reason", "generated_tokens", "error"]
        assert str(schema.field("error").type) == ERROR

    def test_rows_that_could_not_be_read_are_there(self, tmp_path):
        (tmp_path / "in.jsonl").write_bytes(b'{"inputs": "a"}\nnot json \xff\n')
        read = pq.read_table(
            export_file(Source.from_name(str(tmp_path / "in.jsonl")), tmp_path / "out.parquet")
        ).to_pylist()
        assert read[1]["row"] == "not json \ufffd"
        assert read[1]["error"]["message"].startswith("not UTF-8")

    def test_numbers_that_python_cannot_represent_stay_json(self, tmp_path):
        (tmp_path / "in.jsonl").write_bytes(b'{"inputs": "a", "n": 1e999}\n{"inputs": "b"}')
        read = pq.read_table(
            export_file(Source.from_name(str(tmp_path / "in.jsonl")), tmp_path / "out.parquet")
        )
        assert read["n"].to_pylist() == ["1e999", None]

    def test_the_order_is_that_of_the_input(self, lines, tmp_path):
        out = tmp_path / "out.parquet"
        with open_store(out) as store:
            store.commit([record(n) for n in (3, 0, 2, 1)])
            export(store, lines(), Target.from_name(str(out)))
        assert pq.read_table(out)["id"].to_pylist() == [0, 1, 2, 3]


class TestParquetOfParquet:
    def test_columns_keep_their_types(self, table, tmp_path):
        day = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
        before = pa.table(
            {
                "inputs": pa.array(["a", "b c"], pa.large_string()),
                "small": pa.array([1, None], pa.int8()),
                "when": pa.array([day, None], pa.timestamp("ns", "UTC")),
                "price": pa.array([Decimal("1.10"), None], pa.decimal128(5, 2)),
                "raw": pa.array([b"\xff", None]),
                "tags": pa.array([["x"], []], pa.list_(pa.string())),
                "kind": pa.array(["x", "y"]).dictionary_encode(),
            }
        ).replace_schema_metadata({"huggingface": "{}", "mine": "kept"})
        out = export_file(table(before), tmp_path / "out.parquet")
        read = pq.read_table(out)
        assert read.select(before.column_names).replace_schema_metadata() == (
            before.replace_schema_metadata()
        )
        assert read["generated_text"].to_pylist() == ["a", "b c"]
        assert read.schema.metadata == {b"mine": b"kept"}
        kept = (tmp_path / "out.parquet.rows.jsonl").read_text()
        assert "price" not in kept

    @pytest.mark.parametrize(
        "column",
        [
            pa.array(["a" * 40, None, "c"], pa.string_view()),
            pa.array([[b"x"], None, []], pa.list_(pa.binary_view())),
            pa.array([[1], None, []], pa.list_view(pa.int32())),
            pa.Array.from_buffers(pa.string(), 3, pa.array([b"a", b"\xff", b"c"]).buffers()),
            pa.array([2**63 - 1, None, 0], pa.int64()).cast(pa.timestamp("us")),
            pa.array([2**31 - 1, None, 0], pa.int32()).cast(pa.date32()),
            pa.array([1, None, 0], pa.int64()).cast(pa.timestamp("ns", "Mars/Phobos")),
            pa.array([1, None, 0], pa.int64()).cast(pa.duration("ns")),
        ],
        ids=lambda column: str(column.type),
    )
    def test_any_column_comes_out_as_it_was(self, table, tmp_path, column):
        try:
            source = table(pa.table({"inputs": ["a", "b", "c"], "column": column}))
        except pa.ArrowNotImplementedError:
            pytest.skip("this version of pyarrow cannot write such a column")
        out = tmp_path / "out.parquet"
        check_export(source, Target.from_name(str(out)))
        read = pq.read_table(export_file(source, out))
        assert read["generated_text"].to_pylist() == ["a", "b", "c"]
        assert read["column"].type == pq.read_schema(source.path).field("column").type
        assert (
            read["column"]
            .combine_chunks()
            .equals(pq.read_table(source.path)["column"].combine_chunks())
        )

    def test_results_are_joined_by_index(self, table, tmp_path):
        count = 5000
        source = table(pa.table({"inputs": [str(n) for n in range(count)]}), row_group_size=777)
        out = tmp_path / "out.parquet"
        with open_store(out) as store:
            everything = list(source.rows())
            for row in store.skip_finished(reversed(everything)):
                assert row.index < count
            finish(store, source, columns=False, batch=999)
            export(store, source, Target.from_name(str(out)))
        read = pq.read_table(out)
        assert read["generated_text"].to_pylist() == read["inputs"].to_pylist()
        assert read.num_rows == count

    def test_rows_that_are_not_finished_are_not_there(self, table, tmp_path):
        source = table(pa.table({"inputs": [str(n) for n in range(3000)]}))
        out = tmp_path / "out.parquet"
        with open_store(out) as store:
            store.commit([record(n) for n in (7, 2999, 1024)])
            export(store, source, Target.from_name(str(out)))
        assert pq.read_table(out)["inputs"].to_pylist() == ["7", "1024", "2999"]

    def test_an_earlier_output_as_input(self, table, tmp_path):
        before = pa.table({"inputs": ["a"], "generated_text": [1], "error": ["old"]})
        read = pq.read_table(export_file(table(before), tmp_path / "out.parquet"))
        assert read.to_pylist() == [
            {"inputs": "a", "generated_text": "a", "finish_reason": "length",
             "generated_tokens": 1, "error": None}
        ]  # fmt: skip

    def test_no_rows(self, table, tmp_path):
        read = pq.read_table(
            export_file(
                table(pa.table({"inputs": pa.array([], pa.string())})), tmp_path / "out.parquet"
            )
        )
        assert read.num_rows == 0
        assert read.column_names[0] == "inputs"


@pytest.mark.parametrize("ending", UNPACK)
def test_compressed_lines(lines, tmp_path, ending):
    out = export_file(lines({"inputs": "a"}, {"inputs": "b"}), tmp_path / f"out.jsonl.{ending}")
    unpacked = UNPACK[ending](out.read_bytes())
    assert [json.loads(line)["generated_text"] for line in unpacked.splitlines()] == ["a", "b"]
    assert len(list(Source.from_name(str(out)).rows())) == 2


def test_lines_that_are_the_output_stay_as_they_are(lines, tmp_path):
    out = export_file(lines({"inputs": "a"}), tmp_path / "out.jsonl")
    assert out.read_bytes().count(b"\n") == 1


def test_it_takes_the_place_of_an_older_one(lines, tmp_path):
    out = tmp_path / "out.jsonl.gz"
    first = export_file(lines({"inputs": "a"}), out).read_bytes()
    assert export_file(lines({"inputs": "a"}, {"inputs": "b"}), out).read_bytes() != first


def test_files_of_others_stay(lines, tmp_path):
    other, out = tmp_path / "out.parquet.new", tmp_path / "out.parquet"
    other.write_text("precious\n")
    export_file(lines({"inputs": "a"}), out)
    assert other.read_text() == "precious\n"
    for content in (b"made by others\n", out.read_bytes() + b"changed by others\n"):
        out.write_bytes(content)
        with pytest.raises(BulkFileError, match="is not what a run has written there"):
            open_store(out)
        assert out.read_bytes() == content
    export_again = open_store(out, restart=True)
    with export_again as store:
        export(store, lines({"inputs": "a"}), Target.from_name(str(out)))
    assert pq.read_table(out).num_rows == 0


@pytest.mark.parametrize(("name", "module"), [("out.parquet", "pyarrow"), ("out.jsonl.zst", None)])
def test_what_is_missing_for_the_output_is_told_before_the_run(lines, monkeypatch, name, module):
    module = module or ("compression" if sys.version_info >= (3, 14) else "backports")
    for loaded in [loaded for loaded in sys.modules if loaded.split(".")[0] == module]:
        monkeypatch.setitem(sys.modules, loaded, None)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BulkFileError, match=r"needs .*: pip install 'hfgen\[bulk\]'"):
        check_export(lines(), Target.from_name(name))


def test_an_output_that_others_make_meanwhile(lines, tmp_path):
    out = tmp_path / "out.jsonl.gz"
    with open_store(out) as store:
        out.write_text("precious\n")
        with pytest.raises(BulkFileError, match="is not what a run has written there"):
            export(store, lines(), Target.from_name(str(out)))
    assert out.read_text() == "precious\n"


@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl.gz"])
def test_without_room_the_older_one_stays(lines, tmp_path, name):
    out = export_file(lines({"inputs": "a"}), tmp_path / name)
    before = out.read_bytes()
    source = lines({"inputs": "a"}, *({"inputs": str(n * 7919)} for n in range(9000)))
    with open_store(out) as store:
        finish(store, source, batch=3000)
        with limit_file_size(20_000), pytest.raises(BulkFileError, match=f"cannot write .*{name}"):
            export(store, source, Target.from_name(str(out)))
        assert out.read_bytes() == before
        assert not list(tmp_path.glob("*.tmp"))
        export(store, source, Target.from_name(str(out)))
    assert out.read_bytes() != before


class TestDelimited:
    ROWS = ({"id": 1, "inputs": 'a "b",\nc', "tags": ["x"]}, {"inputs": "ü", "note": None})

    @pytest.mark.parametrize(("ending", "delimiter"), [("csv", ","), ("tsv", "\t")])
    def test_other_values_are_json_and_null_is_empty(self, lines, tmp_path, ending, delimiter):
        out = export_file(lines(*self.ROWS), tmp_path / f"out.{ending}")
        with out.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter=delimiter))
        assert [*rows[0]] == [
            "id", "inputs", "tags", "note", "generated_text", "finish_reason",
            "generated_tokens", "error",
        ]  # fmt: skip
        assert (rows[0]["id"], rows[0]["inputs"], rows[0]["tags"]) == ("1", 'a "b",\nc', '["x"]')
        assert (rows[1]["id"], rows[1]["inputs"], rows[1]["note"]) == ("", "ü", "")
        assert [row["error"] for row in rows] == ["", ""]

    def test_it_is_compressed_as_its_name_says(self, lines, tmp_path):
        source = lines(*self.ROWS)
        plain = export_file(source, tmp_path / "plain.csv").read_bytes()
        packed = export_file(source, tmp_path / "out.csv.gz").read_bytes()
        assert gzip.decompress(packed) == plain

    def test_it_is_an_input_again(self, lines, tmp_path):
        out = export_file(lines(*self.ROWS), tmp_path / "out.csv")
        rows = list(Source.from_name(str(out)).rows())
        assert [row.value("inputs") for row in rows] == ['a "b",\nc', "ü"]
