"""Rows from Parquet files, and the Parquet types of columns that come as JSON (`Shape`).

The rule for the type of a column, and of the values inside its lists and objects: if all values
except nulls are of one kind, the column gets the type of that kind. Whole numbers among floating
point numbers count as floating point numbers. Every other column is text: strings stay as they are,
other values are written as JSON. So are values that are nested deeper than Parquet's readers allow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from hfgen._core.errors import BulkFileError
from hfgen._files.extras import explain_missing
from hfgen._files.row import Row, encode, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

# Rows in memory at once, as Python objects.
BATCH_ROWS = 1024
# An object of more names than that is a map from keys to values, not a record with columns.
_MOST_FIELDS = 256
# Readers of Parquet refuse a schema of more than 100 levels, of which a list has two.
_DEEPEST = 32
_INT64 = range(-(2**63), 2**63)

Kind: TypeAlias = Literal["null", "bool", "int", "float", "string", "list", "object", "json"]

_KINDS: dict[type, Kind] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "float",
    str: "string",
    list: "list",
    dict: "object",
}


def import_pyarrow() -> Any:
    """Return pyarrow, with `parquet` in it.

    Raises:
        BulkFileError: It is not installed.
    """
    with explain_missing("Parquet"):
        import pyarrow as pa  # noqa: PLC0415 - optional
        import pyarrow.parquet  # noqa: PLC0415 - optional
    return pa


def open_file(stream: BinaryIO) -> Any:
    """Return pyarrow's `ParquetFile`.

    Raises:
        BulkFileError: pyarrow is missing, it is no Parquet, or it has a column twice.
    """
    pa = import_pyarrow()
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
    return int(open_file(stream).metadata.num_rows)


def rows(stream: BinaryIO) -> Iterator[Row]:
    """Yield the rows, with their values as Python objects.

    Raises:
        BulkFileError: It is no Parquet file, or a damaged one.
    """
    for first, batch in batches(stream):
        yield from _rows_of(import_pyarrow(), batch, first)


def batches(stream: BinaryIO) -> Iterator[tuple[int, Any]]:
    """Yield record batches, each with the index of its first row.

    Raises:
        BulkFileError: As for `rows`.
    """
    pa = import_pyarrow()
    index = 0
    try:
        for batch in open_file(stream).iter_batches(batch_size=BATCH_ROWS):
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


@dataclass
class Shape:
    """What the values have been so far.

    Attributes:
        kind: Of which kind they are; "json" if of several.
        item: The shape of the elements, for lists.
        fields: The shapes of the values, for objects.
        depth: How many lists and objects may be inside one another from here on.
    """

    kind: Kind = "null"
    item: Shape | None = None
    fields: dict[str, Shape] = field(default_factory=dict)
    depth: int = _DEEPEST

    def add(self, value: Any) -> None:
        """Take another value into account."""
        kind = _kind(value)
        if kind == "null" or self.kind == "json":
            return
        if kind in {"list", "object"} and not self.depth:
            kind = "json"
        if self.kind not in {"null", kind}:
            kind = "float" if {self.kind, kind} == {"int", "float"} else "json"
        self.kind = kind
        if kind == "list":
            self.item = self.item or Shape(depth=self.depth - 1)
            for each in value:
                self.item.add(each)
        elif kind == "object":
            for name, each in value.items():
                self.fields.setdefault(name, Shape(depth=self.depth - 1)).add(each)
            if len(self.fields) > _MOST_FIELDS:
                self.kind = "json"

    @property
    def is_text(self) -> bool:
        # Parquet has no column without a type, and no object without a field.
        return self.kind in {"null", "string", "json"} or (
            self.kind == "object" and not self.fields
        )

    def arrow(self, pa: Any) -> Any:
        """Return the type that all of the values fit into, once `fit`."""
        if self.is_text:
            return pa.string()
        if self.kind == "list":
            assert self.item is not None
            return pa.list_(self.item.arrow(pa))
        if self.kind == "object":
            return pa.struct([(name, shape.arrow(pa)) for name, shape in self.fields.items()])
        return {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64()}[self.kind]

    def fit(self, value: Any) -> Any:
        """Return the value as one of the column's type."""
        if value is None:
            return None
        if self.is_text:
            return value if isinstance(value, str) else encode(value).decode()
        if self.kind == "list":
            assert self.item is not None
            return [self.item.fit(each) for each in value]
        if self.kind == "object":
            return {name: shape.fit(value.get(name)) for name, shape in self.fields.items()}
        return float(value) if self.kind == "float" else value


def _kind(value: Any) -> Kind:
    if type(value) is int and value not in _INT64:
        return "json"
    return _KINDS[type(value)]
