"""Writes outputs that cannot be appended to at the end of a run: Parquet, CSV, compressed ones.

The rows are in the order of the input. At most one row group of Parquet is in memory.
"""

from __future__ import annotations

import csv
import io
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

import msgspec

from hfgen._core.errors import BulkFileError
from hfgen._core.server_json import DECODE_ERRORS
from hfgen._files import parquet
from hfgen._files.formats import COMPRESSIONS
from hfgen._files.parquet import Shape
from hfgen._files.record import RESULT_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from hfgen._files.source import Source
    from hfgen._files.store import Store
    from hfgen._files.target import Target

_DELIMITERS = {"csv": ",", "tsv": "\t"}
_GROUP_ROWS = 1 << 16
_GROUP_BYTES = 1 << 26

_decode = msgspec.json.decode
_decode_raw_columns = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def keeps_input_columns(source: Source, target: Target) -> bool:
    """Return whether `export` takes the columns of the input from the input, to keep their types.

    Then the stored rows need only the columns of the results.
    """
    return source.encoding.format.name == target.encoding.format.name == "parquet"


def check_export(source: Source, target: Target) -> None:
    """Check before the run that its output can be written at its end, as far as that is known.

    Raises:
        BulkFileError: A package is missing, or Parquet cannot have a column of the input.
    """
    if not target.is_exported:
        return
    if target.encoding.format.name != "parquet":
        _open_compressed(target, io.BytesIO()).close()
        return
    pa = parquet.import_pyarrow()
    schema = _make_schema(pa, _make_result_shapes(), _choose_input(source, target))
    try:
        pa.parquet.ParquetWriter(io.BytesIO(), schema).close()
    except pa.ArrowException as error:
        raise BulkFileError(f"cannot write {target.path}: {error}") from error


def export(store: Store, source: Source, target: Target) -> None:
    """Write the output from the finished rows, if the target is exported.

    It is renamed to the name of the output when it is complete. Columns that come from Parquet keep
    their types; for those that come as JSON, `parquet` has the rule.

    Raises:
        BulkFileError: The output cannot be written, or the input cannot be read again.
    """
    if not target.is_exported:
        return
    with store.replace_output() as file:
        name = target.encoding.format.name
        if name == "parquet":
            _write_parquet(store, file, _choose_input(source, target))
            return
        stream = _open_compressed(target, file)
        if name == "jsonl":
            stream.writelines(line for _, line in store.read_lines())
        else:
            _write_delimited(store, stream, _DELIMITERS[name])
        if stream is not file:
            stream.close()


def _choose_input(source: Source, target: Target) -> Source | None:
    return source if keeps_input_columns(source, target) else None


def _open_compressed(target: Target, file: BinaryIO) -> Any:
    """Return a stream that compresses into the file; the file itself without compression."""
    compression = target.encoding.compression
    return COMPRESSIONS[compression](file, "wb") if compression else file


def _write_delimited(store: Store, stream: BinaryIO, delimiter: str) -> None:
    """Write CSV: text as it is, other values as JSON, null as an empty cell."""
    names = list(_derive_shapes(store, results_only=False))
    text = io.TextIOWrapper(stream, "utf-8", newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(names)
    for _, line in store.read_lines():
        row = _decode_columns(line)
        writer.writerow([_to_cell(row.get(name)) for name in names])
    text.flush()
    # Dropping the wrapper would close the stream.
    text.detach()


def _to_cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _write_parquet(store: Store, file: BinaryIO, source: Source | None) -> None:
    pa = parquet.import_pyarrow()
    shapes = _derive_shapes(store, results_only=source is not None)
    schema = _make_schema(pa, shapes, source)
    plain_schema = schema.remove_metadata()
    batches = (
        _build_result_batches(pa, store, shapes, plain_schema)
        if source is None
        else _build_joined_batches(pa, store, shapes, source, plain_schema)
    )
    with pa.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for group in _group_batches(batches):
            table = pa.Table.from_batches(group, plain_schema)
            writer.write_table(table.replace_schema_metadata(schema.metadata))


def _make_schema(pa: Any, shapes: dict[str, Shape], source: Source | None) -> Any:
    """Return the schema of the output: the input's columns, if it is given, and those of shapes."""
    fields = [pa.field(name, shape.arrow_type(pa)) for name, shape in shapes.items()]
    if source is None:
        return pa.schema(fields)
    with source.open() as stream:
        input_schema = parquet.open_file(stream).schema_arrow
    fields = [field for field in input_schema if field.name not in RESULT_COLUMNS] + fields
    # Without the metadata of `datasets`: they describe the columns of the input only.
    metadata = {k: v for k, v in (input_schema.metadata or {}).items() if k != b"huggingface"}
    return pa.schema(fields, metadata)


def _group_batches(batches: Iterator[Any]) -> Iterator[list[Any]]:
    group: list[Any] = []
    rows = size = 0
    for batch in batches:
        group.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield group
            group, rows, size = [], 0, 0
    if group:
        yield group


def _build_result_batches(
    pa: Any, store: Store, shapes: dict[str, Shape], schema: Any
) -> Iterator[Any]:
    lines = (line for _, line in store.read_lines())
    while rows := [_decode_columns(line) for line in islice(lines, parquet.BATCH_ROWS)]:
        yield pa.RecordBatch.from_arrays(_build_arrays(pa, rows, shapes), schema=schema)


def _build_joined_batches(
    pa: Any, store: Store, shapes: dict[str, Shape], source: Source, schema: Any
) -> Iterator[Any]:
    lines = store.read_lines()
    next_line = next(lines, None)
    for first, batch in _read_input_batches(source):
        offsets, results = [], []
        while next_line is not None and next_line[0] < first + batch.num_rows:
            offsets.append(next_line[0] - first)
            results.append(_decode_columns(next_line[1]))
            next_line = next(lines, None)
        columns = [batch.column(name) for name in batch.schema.names if name not in RESULT_COLUMNS]
        columns_of_results = _build_arrays(pa, results, shapes)
        # Slices, because pyarrow cannot take single rows of columns of all types.
        for _, run in groupby(enumerate(offsets), lambda pair: pair[1] - pair[0]):
            (position, offset), *rest = run
            length = 1 + len(rest)
            yield pa.RecordBatch.from_arrays(
                [
                    *(column.slice(offset, length) for column in columns),
                    *(column.slice(position, length) for column in columns_of_results),
                ],
                schema=schema,
            )


def _read_input_batches(source: Source) -> Iterator[tuple[int, Any]]:
    with source.open() as stream:
        yield from parquet.read_batches(stream)


def _build_arrays(pa: Any, rows: list[dict[str, Any]], shapes: dict[str, Shape]) -> list[Any]:
    return [
        pa.array([shape.fit(row.get(name)) for row in rows], shape.arrow_type(pa))
        for name, shape in shapes.items()
    ]


def _derive_shapes(store: Store, *, results_only: bool) -> dict[str, Shape]:
    """Return the shapes of the columns: those of the input in order of appearance, then results."""
    inputs: dict[str, Shape] = {}
    results = _make_result_shapes()
    for _, line in store.read_lines():
        for name, value in _decode_columns(line).items():
            if name in RESULT_COLUMNS:
                results.setdefault(name, Shape()).add(value)
            elif not results_only:
                inputs.setdefault(name, Shape()).add(value)
    return {**inputs, **{name: results[name] for name in RESULT_COLUMNS if name in results}}


def _make_result_shapes() -> dict[str, Shape]:
    """Return the shapes of the columns that each output has besides those of the input."""
    return {
        "generated_text": Shape("string"),
        "finish_reason": Shape("string"),
        "generated_tokens": Shape("int"),
        "error": Shape(
            "object",
            fields={
                "type": Shape("string"),
                "message": Shape("string"),
                "status": Shape("int"),
                "attempts": Shape("int"),
            },
        ),
    }


def _decode_columns(line: bytes) -> dict[str, Any]:
    try:
        columns: dict[str, Any] = _decode(line)
    except DECODE_ERRORS:
        # Python cannot represent a value, such as a number that is too large: it stays JSON text.
        columns = {name: _decode_value(raw) for name, raw in _decode_raw_columns(line).items()}
    return columns


def _decode_value(raw: msgspec.Raw) -> Any:
    try:
        return _decode(raw)
    except DECODE_ERRORS:
        return bytes(raw).decode()
