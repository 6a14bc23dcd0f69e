"""The formats of files, and how a name or an option says which."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from hfgen._core.errors import BulkFileError
from hfgen._files import parquet
from hfgen._files import text as lines
from hfgen._files.compression import BY_ENDING as COMPRESSIONS
from hfgen._files.delimited import Delimited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from hfgen._files.row import Row


@dataclass(frozen=True)
class Format:
    """How the rows of a kind of file are read.

    Attributes:
        name: Its ending.
        rows: The rows in a stream of bytes.
        count: How many rows there are in it, without looking into them.
    """

    name: str
    rows: Callable[[BinaryIO], Iterator[Row]]
    count: Callable[[BinaryIO], int]


_CSV, _TSV = Delimited(","), Delimited("\t")
_FORMATS = (
    Format("jsonl", lines.json_rows, lines.count),
    Format("txt", lines.text_rows, lines.count),
    Format("csv", _CSV.rows, _CSV.count),
    Format("tsv", _TSV.rows, _TSV.count),
    Format("parquet", parquet.rows, parquet.count),
)
BY_ENDING = {each.name: each for each in _FORMATS}
BY_ENDING["ndjson"] = BY_ENDING["jsonl"]

READABLE = "jsonl, txt, csv, tsv, each also with .gz or .zst behind it, or parquet"
WRITABLE = "jsonl, jsonl.gz, jsonl.zst or parquet"


@dataclass(frozen=True)
class Encoding:
    """A format, and what it is compressed with.

    Attributes:
        format: The format of what is inside.
        compression: A key of `compression.BY_ENDING`; "" for none.
    """

    format: Format
    compression: str

    def __str__(self) -> str:
        return ".".join(filter(None, (self.format.name, self.compression)))


def recognised(name: str, *, given: str | None, allowed: str) -> Encoding:
    """Return what a file holds, by its endings.

    Args:
        name: Its name; only the endings count.
        given: What to take it for whatever its name is: endings without the first dot.
        allowed: For the message: what there is to choose from.

    Raises:
        BulkFileError: The endings say nothing, or what cannot be.
    """
    endings = f"x.{given}" if given is not None else name
    *_, before, last = ["", "", *PurePath(endings.lower()).name.split(".")[1:]]
    compression, ending = (last, before) if last in COMPRESSIONS else ("", last)
    if ending == "json" and given is None:
        raise BulkFileError(
            f"{name}: one JSON document is not read; make a line of each element: "
            f"jq -c '.[]' {name} > rows.jsonl"
        )
    if ending not in BY_ENDING:
        what = (
            f"{given!r} is no format" if given is not None else f"{name}: its ending says nothing"
        )
        raise BulkFileError(f"{what}; name one: {allowed}")
    if ending == "parquet" and compression:
        raise BulkFileError(f"{name}: Parquet is compressed inside; unpack it first")
    return Encoding(BY_ENDING[ending], compression)
