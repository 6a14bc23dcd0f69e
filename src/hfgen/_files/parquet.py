"""Rows from Parquet files, and the Parquet types of columns that come as JSON (`Shape`).

The rule for the type of a column, and of the values inside its lists and objects: if all values
except nulls are of one kind, the column gets the type of that kind. Whole numbers among floating
point numbers count as floating point numbers, if these hold them exactly (as all up to 2**53).
Every other column is text: strings stay as they are, other values are written as JSON. Values that
are nested too deeply for Parquet's readers are written as JSON, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from hfgen._core.errors import BulkFileError
from hfgen._files.arrow_values import convert_column
from hfgen._files.extras import explain_missing
from hfgen._files.row import Row, encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

# Rows that are in memory at once, as Python objects.
BATCH_ROWS = 1024
# An object with more names than this is taken for a map, and written as JSON.
_MAX_FIELDS = 256
# Levels of lists and objects. Readers of Parquet refuse schemas of more than 100 levels, and a list
# takes two of them.
_MAX_DEPTH = 32
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
    """Return pyarrow, with its module `parquet` imported.

    Raises:
        BulkFileError: pyarrow is not installed.
    """
    with explain_missing("Parquet"):
        import pyarrow as pa  # noqa: PLC0415 - optional
        import pyarrow.parquet  # noqa: PLC0415 - optional
    return pa


def open_file(stream: BinaryIO) -> Any:
    """Return pyarrow's `ParquetFile`.

    Raises:
        BulkFileError: pyarrow is not installed, the stream is not Parquet, or two columns have the
            same name.
    """
    pa = import_pyarrow()
    try:
        # `pre_buffer` would read the whole file into memory with the first batch.
        file = pa.parquet.ParquetFile(stream, pre_buffer=False)
    except pa.ArrowException as error:
        raise BulkFileError(f"it is not a Parquet file: {error}") from None
    names = file.schema_arrow.names
    if len(set(names)) < len(names):
        raise BulkFileError(f"it has a column twice: {', '.join(names)}")
    return file


def count_rows(stream: BinaryIO) -> int:
    """Return how many rows the file has."""
    return int(open_file(stream).metadata.num_rows)


def read_rows(stream: BinaryIO) -> Iterator[Row]:
    """Yield the rows, with their values as Python objects.

    Raises:
        BulkFileError: The file is not Parquet, or it is damaged.
    """
    for first, batch in read_batches(stream):
        columns = [convert_column(import_pyarrow(), column) for column in batch.columns]
        names = batch.schema.names
        for index in range(batch.num_rows):
            yield Row(
                first + index,
                {name: column[index] for name, column in zip(names, columns, strict=True)},
            )


def read_batches(stream: BinaryIO) -> Iterator[tuple[int, Any]]:
    """Yield record batches, each with the index of its first row.

    Raises:
        BulkFileError: As for `read_rows`.
    """
    pa = import_pyarrow()
    index = 0
    try:
        for batch in open_file(stream).iter_batches(batch_size=BATCH_ROWS):
            yield index, batch
            index += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise BulkFileError(f"it is damaged after row {index}: {error}") from None


@dataclass
class Shape:
    """The type of a column, derived from the values that were added.

    Attributes:
        kind: The kind of all values; "json" if they are of several kinds.
        item: For lists: the shape of their elements.
        fields: For objects: the shapes of their values, by name.
        depth: How many further levels of lists and objects are allowed.
        fits_float: Whether floating point numbers hold all whole numbers exactly.
    """

    kind: Kind = "null"
    item: Shape | None = None
    fields: dict[str, Shape] = field(default_factory=dict)
    depth: int = _MAX_DEPTH
    fits_float: bool = True

    def add(self, value: Any) -> None:
        """Adapt the shape to another value."""
        kind = _kind(value)
        if kind == "null" or self.kind == "json":
            return
        if kind in {"list", "object"} and not self.depth:
            kind = "json"
        if kind == "int" and int(float(value)) != value:
            self.fits_float = False
        if self.kind not in {"null", kind}:
            is_float = self.fits_float and {self.kind, kind} == {"int", "float"}
            kind = "float" if is_float else "json"
        self.kind = kind
        if kind == "list":
            self.item = self.item or Shape(depth=self.depth - 1)
            for item in value:
                self.item.add(item)
        elif kind == "object":
            for name, field_value in value.items():
                self.fields.setdefault(name, Shape(depth=self.depth - 1)).add(field_value)
            if len(self.fields) > _MAX_FIELDS:
                self.kind = "json"

    @property
    def is_text(self) -> bool:
        # "null" and objects without fields, too: Parquet has no types for them.
        return self.kind in {"null", "string", "json"} or (
            self.kind == "object" and not self.fields
        )

    def arrow_type(self, pa: Any) -> Any:
        """Return the Arrow type of the column."""
        if self.is_text:
            return pa.string()
        if self.kind == "list":
            assert self.item is not None
            return pa.list_(self.item.arrow_type(pa))
        if self.kind == "object":
            return pa.struct([(name, shape.arrow_type(pa)) for name, shape in self.fields.items()])
        return {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64()}[self.kind]

    def fit(self, value: Any) -> Any:
        """Convert a value to the type of the column."""
        if value is None:
            return None
        if self.is_text:
            return value if isinstance(value, str) else encode(value).decode()
        if self.kind == "list":
            assert self.item is not None
            return [self.item.fit(item) for item in value]
        if self.kind == "object":
            return {name: shape.fit(value.get(name)) for name, shape in self.fields.items()}
        return float(value) if self.kind == "float" else value


def _kind(value: Any) -> Kind:
    if type(value) is int and value not in _INT64:
        return "json"
    return _KINDS[type(value)]
