"""Parquet files as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hfgen._core.errors import BulkFileError
from hfgen._files.extras import needed_for
from hfgen._files.row import Row, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

# Rows in memory at once, as Python objects.
BATCH_ROWS = 1024


def arrow() -> Any:
    """Return pyarrow, with `parquet` in it.

    Raises:
        BulkFileError: It is not installed.
    """
    with needed_for("Parquet"):
        import pyarrow as pa  # noqa: PLC0415 - optional
        import pyarrow.parquet  # noqa: PLC0415 - optional
    return pa


def opened(stream: BinaryIO) -> Any:
    """Return pyarrow's `ParquetFile`.

    Raises:
        BulkFileError: pyarrow is missing, it is no Parquet, or it has a column twice.
    """
    pa = arrow()
    try:
        file = pa.parquet.ParquetFile(stream)
    except pa.ArrowException as error:
        raise BulkFileError(f"it is no Parquet file: {error}") from None
    names = file.schema_arrow.names
    if len(set(names)) < len(names):
        raise BulkFileError(f"it has a column twice: {', '.join(names)}")
    return file


def count(stream: BinaryIO) -> int:
    """Return how many rows the file has."""
    return int(opened(stream).metadata.num_rows)


def rows(stream: BinaryIO) -> Iterator[Row]:
    """Yield the rows, with their values as Python objects.

    Raises:
        BulkFileError: It is no Parquet file, or a damaged one.
    """
    for first, batch in batches(stream):
        yield from _rows_of(arrow(), batch, first)


def batches(stream: BinaryIO) -> Iterator[tuple[int, Any]]:
    """Yield record batches, each with the index of its first row.

    Raises:
        BulkFileError: As for `rows`.
    """
    pa = arrow()
    index = 0
    try:
        for batch in opened(stream).iter_batches(batch_size=BATCH_ROWS):
            yield index, batch
            index += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise BulkFileError(f"it is damaged behind row {index}: {error}") from None


def _rows_of(pa: Any, batch: Any, first: int) -> Iterator[Row]:
    # Python's own types end at microseconds.
    columns = [
        c.cast(pa.string()) if getattr(c.type, "unit", "") == "ns" else c for c in batch.columns
    ]
    batch = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    try:
        values = batch.to_pylist()
    except ValueError as error:
        if batch.num_rows == 1:
            # Text that is no UTF-8 spoils its own row only.
            yield unreadable(first, "", f"not readable: {error}")
            return
        for i in range(batch.num_rows):
            yield from _rows_of(pa, batch.slice(i, 1), first + i)
        return
    for index, columns in enumerate(values, first):
        yield Row(index, columns)
