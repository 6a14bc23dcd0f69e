"""The formats of files, and how a file name or an option determines the format."""

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
"""Takes a stream of compressed bytes and a mode; returns a stream of uncompressed bytes."""

# Errors of reading bytes that end too early, or are not compressed; some are an OSError instead.
_TORN: tuple[type[Exception], ...] = (EOFError, zlib.error)


def _open_gzip(stream: BinaryIO, mode: str) -> Any:
    # Level 6, as the program gzip has it: the default here is 9, which takes several times as long.
    return gzip.GzipFile(fileobj=stream, mode=mode, compresslevel=6, mtime=0)


def _open_zstd(stream: BinaryIO, mode: str) -> Any:
    return _import_zstd().ZstdFile(stream, mode)


def _import_zstd() -> ModuleType:
    with explain_missing("zstd"):
        if sys.version_info >= (3, 14):
            from compression import zstd  # noqa: PLC0415 - since 3.14
        else:
            from backports import zstd  # noqa: PLC0415 - optional
    return zstd


def is_torn(error: Exception) -> bool:
    """Return whether the error means that bytes end too early, or are not compressed."""
    return isinstance(error, (*_TORN, gzip.BadGzipFile)) or type(error).__name__ == "ZstdError"


COMPRESSIONS: dict[str, Opener] = {"gz": _open_gzip, "zst": _open_zstd}


@dataclass(frozen=True)
class Format:
    """A format of files, and its functions.

    Attributes:
        name: The ending of file names.
        read_rows: Yields the rows in a stream of bytes.
        count_rows: Returns how many rows a stream has, without decoding them.
        has_own_columns: Whether each row has columns of its own; else all have the same.
    """

    name: str
    read_rows: Callable[[BinaryIO], Iterator[Row]]
    count_rows: Callable[[BinaryIO], int]
    has_own_columns: bool = False


_CSV, _TSV = text.Delimited(","), text.Delimited("\t")
_FORMATS = (
    Format("jsonl", text.read_json_rows, text.count_lines, has_own_columns=True),
    Format("txt", text.read_text_rows, text.count_lines),
    Format("csv", _CSV.read_rows, _CSV.count_rows),
    Format("tsv", _TSV.read_rows, _TSV.count_rows),
    Format("parquet", parquet.read_rows, parquet.count_rows),
)
BY_ENDING = {file_format.name: file_format for file_format in _FORMATS}
BY_ENDING["ndjson"] = BY_ENDING["jsonl"]

READABLE = "jsonl, txt, csv, tsv, each also with .gz or .zst at its end, or parquet"
WRITABLE = "jsonl, csv, tsv, each also with .gz or .zst at its end, or parquet"


@dataclass(frozen=True)
class Encoding:
    """A format and a compression.

    Attributes:
        format: The format of the uncompressed bytes.
        compression: A key of `COMPRESSIONS`, or "" for no compression.
    """

    format: Format
    compression: str

    def __str__(self) -> str:
        return ".".join(filter(None, (self.format.name, self.compression)))

    def check_packages(self) -> None:
        """Check that the packages for this encoding are installed.

        Raises:
            BulkFileError: One is missing.
        """
        if self.format.name == "parquet":
            parquet.import_pyarrow()
        if self.compression == "zst":
            _import_zstd()


def detect_encoding(name: str, *, endings: str | None, allowed: str) -> Encoding:
    """Return the encoding of a file, from the endings of its name.

    Args:
        name: The name of the file.
        endings: Endings that are used in place of those of the name, such as "jsonl.gz".
        allowed: The formats that the error message offers.

    Raises:
        BulkFileError: There is no such format, or it cannot be read.
    """
    file_name = name if endings is None else f"x.{endings}"
    *_, before, last = ["", "", *PurePath(file_name.lower()).name.split(".")[1:]]
    compression, ending = (last, before) if last in COMPRESSIONS else ("", last)
    if ending == "json" and endings is None:
        raise BulkFileError(
            f"{name}: a single JSON document cannot be read; write each element on a line: "
            f"jq -c '.[]' {name} > rows.jsonl"
        )
    if ending not in BY_ENDING:
        problem = (
            f"{name}: its ending is not a format"
            if endings is None
            else f"{endings!r} is not a format"
        )
        raise BulkFileError(f"{problem}; use one of: {allowed}")
    if ending == "parquet" and compression:
        raise BulkFileError(f"{name}: Parquet files are compressed inside; unpack this one first")
    return Encoding(BY_ENDING[ending], compression)
