"""Writes Parquet and compressed outputs at the end of a run: they cannot be appended to.

Rows are in the order of the input. At most one row group of Parquet is in memory.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from hfgen._core.dialects.base import DECODE_ERRORS
from hfgen._files import parquet
from hfgen._files.durable import naming_file, rename_durably, sync
from hfgen._files.formats import COMPRESSIONS
from hfgen._files.parquet import Shape
from hfgen._files.record import RESULT_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from hfgen._files.source import Source
    from hfgen._files.store import Store
    from hfgen._files.target import Target

_GROUP_ROWS = 1 << 16
_GROUP_BYTES = 1 << 26

_decode = msgspec.json.decode
_decode_columns = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def keeps_input_columns(source: Source, target: Target) -> bool:
    """Return whether the input's columns are taken from the input at the end, with their types.

    Then the rows that are kept until then need not have them.
    """
    return source.encoding.format.name == target.encoding.format.name == "parquet"


def export(store: Store, source: Source, target: Target) -> None:
    """Make the output of the finished rows, if it is to be made at the end.

    It takes the place of an older one at once, when it is whole. Columns that come from Parquet
    keep their types; those that come as JSON get one by the rule in `parquet`.

    Raises:
        BulkFileError: It cannot be written, or the input cannot be read again.
    """
    if not target.is_exported:
        return
    new = target.path.with_name(target.path.name + ".new")
    with naming_file(target.path):
        try:
            with new.open("wb") as file:
                if target.encoding.compression:
                    _compress(store, file, target.encoding.compression)
                else:
                    _write_parquet(
                        store, file, source if keeps_input_columns(source, target) else None
                    )
                sync(file)
            rename_durably(new, target.path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise


def _compress(store: Store, file: BinaryIO, compression: str) -> None:
    with COMPRESSIONS[compression](file, "wb") as packed:
        for _, line in store.lines():
            packed.write(line)


def _write_parquet(store: Store, file: BinaryIO, source: Source | None) -> None:
    pa = parquet.import_pyarrow()
    shapes = _shapes(store, results_only=source is not None)
    fields = [pa.field(name, shape.arrow(pa)) for name, shape in shapes.items()]
    metadata = None
    if source is None:
        batches = _result_batches(pa, store, shapes, pa.schema(fields))
    else:
        with source.open() as stream:
            before = parquet.open_file(stream).schema_arrow
        fields = [each for each in before if each.name not in RESULT_COLUMNS] + fields
        # The features that `datasets` notes there are those of the input.
        metadata = {k: v for k, v in (before.metadata or {}).items() if k != b"huggingface"}
        batches = _joined_batches(pa, store, shapes, source, pa.schema(fields))
    schema = pa.schema(fields, metadata)
    with pa.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for group in _groups(batches):
            writer.write_table(pa.Table.from_batches(group, pa.schema(fields)).cast(schema))


def _groups(batches: Iterator[Any]) -> Iterator[list[Any]]:
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


def _result_batches(pa: Any, store: Store, shapes: dict[str, Shape], schema: Any) -> Iterator[Any]:
    lines = (line for _, line in store.lines())
    while some := [_columns(line) for line in islice(lines, parquet.BATCH_ROWS)]:
        yield pa.RecordBatch.from_arrays(_arrays(pa, some, shapes), schema=schema)


def _joined_batches(
    pa: Any, store: Store, shapes: dict[str, Shape], source: Source, schema: Any
) -> Iterator[Any]:
    lines = store.lines()
    ahead = next(lines, None)
    for first, batch in _input_batches(source):
        places, results = [], []
        while ahead is not None and ahead[0] < first + batch.num_rows:
            places.append(ahead[0] - first)
            results.append(_columns(ahead[1]))
            ahead = next(lines, None)
        kept = batch.take(pa.array(places, pa.int64()))
        columns = [kept.column(name) for name in batch.schema.names if name not in RESULT_COLUMNS]
        yield pa.RecordBatch.from_arrays([*columns, *_arrays(pa, results, shapes)], schema=schema)


def _input_batches(source: Source) -> Iterator[tuple[int, Any]]:
    with source.open() as stream:
        yield from parquet.batches(stream)


def _arrays(pa: Any, rows: list[dict[str, Any]], shapes: dict[str, Shape]) -> list[Any]:
    return [
        pa.array([shape.fit(row.get(name)) for row in rows], shape.arrow(pa))
        for name, shape in shapes.items()
    ]


def _shapes(store: Store, *, results_only: bool) -> dict[str, Shape]:
    """Return the columns in the order of their first appearance, and the results behind them."""
    inputs: dict[str, Shape] = {}
    results = {
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
    for _, line in store.lines():
        for name, value in _columns(line).items():
            if name in RESULT_COLUMNS:
                results.setdefault(name, Shape()).add(value)
            elif not results_only:
                inputs.setdefault(name, Shape()).add(value)
    return {**inputs, **{name: results[name] for name in RESULT_COLUMNS if name in results}}


def _columns(line: bytes) -> dict[str, Any]:
    try:
        columns: dict[str, Any] = _decode(line)
    except DECODE_ERRORS:
        # Such as a number that is too large: that value stays text of JSON.
        columns = {name: _value(raw) for name, raw in _decode_columns(line).items()}
    return columns


def _value(raw: msgspec.Raw) -> Any:
    try:
        return _decode(raw)
    except DECODE_ERRORS:
        return bytes(raw).decode()
