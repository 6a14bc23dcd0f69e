"""The formats of files, and how a name or an option says which."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from hfgen._core.errors import BulkFileError
from hfgen._files import parquet, text
from hfgen._files.extras import explain_missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from hfgen._files.row import Row


Opener: TypeAlias = Callable[[BinaryIO, str], Any]
"""Takes a stream of compressed bytes and a mode, gives one of the bytes themselves."""

# What reading torn or foreign bytes raises, beside OSError.
TORN: tuple[type[Exception], ...] = (EOFError, zlib.error)


def _gzip(stream: BinaryIO, mode: str) -> Any:
    # Level 6 is gzip's own default; the module's 9 takes several times as long.
    return gzip.GzipFile(fileobj=stream, mode=mode, compresslevel=6, mtime=0)


def _zstd(stream: BinaryIO, mode: str) -> Any:
    return _zstd_module().ZstdFile(stream, mode)


def _zstd_module() -> ModuleType:
    with explain_missing("zstd"):
        if sys.version_info >= (3, 14):
            from compression import zstd  # noqa: PLC0415 - since 3.14
        else:
            from backports import zstd  # noqa: PLC0415 - optional
    return zstd


def is_torn(error: Exception) -> bool:
    """Return whether the error says that compressed bytes end too early, or are none."""
    return isinstance(error, (*TORN, gzip.BadGzipFile)) or type(error).__name__ == "ZstdError"


COMPRESSIONS: dict[str, Opener] = {"gz": _gzip, "zst": _zstd}


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


_CSV, _TSV = text.Delimited(","), text.Delimited("\t")
_FORMATS = (
    Format("jsonl", text.json_rows, text.count_lines),
    Format("txt", text.text_rows, text.count_lines),
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
        compression: A key of `COMPRESSIONS`; "" for none.
    """

    format: Format
    compression: str

    def __str__(self) -> str:
        return ".".join(filter(None, (self.format.name, self.compression)))


def detect_encoding(name: str, *, given: str | None, allowed: str) -> Encoding:
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
