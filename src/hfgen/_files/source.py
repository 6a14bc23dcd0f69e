"""The input: a file or standard input, whatever its format."""

from __future__ import annotations

import hashlib
import io
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from hfgen._core.errors import BulkFileError
from hfgen._files.formats import COMPRESSIONS, READABLE, Encoding, detect_encoding, is_torn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hfgen._files.row import Row

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Source:
    """Where rows are read from.

    Attributes:
        path: The file; None for standard input.
        encoding: Its format and compression.
    """

    path: Path | None
    encoding: Encoding

    @property
    def name(self) -> str:
        return "standard input" if self.path is None else str(self.path)

    def rows(self) -> Iterator[Row]:
        """Yield the rows, from the first; one at a time is in memory, of Parquet a thousand.

        A row that cannot be read is yielded too, with its `problem`.

        Raises:
            BulkFileError: The file cannot be read, or no further: damaged, or torn.
        """
        with self.open() as stream:
            yield from self.encoding.format.rows(stream)

    def count(self) -> int | None:
        """Return how many rows there are; None for standard input, which is read once.

        Raises:
            BulkFileError: As for `rows`.
        """
        if self.path is None:
            return None
        with self.open() as stream:
            return self.encoding.format.count(stream)

    def digest(self) -> str | None:
        """Return what stands for the whole content of the file; None for standard input.

        Raises:
            BulkFileError: The file cannot be read.
        """
        if self.path is None:
            return None
        with self._boundary(), self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open it, unpack it, and go behind the mark that some put before UTF-8.

        Raises:
            BulkFileError: As for `rows`, also for what goes wrong in the block.
        """
        with self._boundary(), ExitStack() as stack:
            stream: BinaryIO = (
                _standard_input()
                if self.path is None
                else stack.enter_context(self.path.open("rb"))
            )
            if self.encoding.compression:
                opener = COMPRESSIONS[self.encoding.compression]
                unpacked = stack.enter_context(opener(stream, "rb"))
                stream = stack.enter_context(io.BufferedReader(unpacked))
            if self.encoding.format.name != "parquet":
                _skip_mark(cast("io.BufferedReader", stream))
            yield stream

    @contextmanager
    def _boundary(self) -> Iterator[None]:
        try:
            yield
        except BulkFileError as error:
            raise BulkFileError(f"cannot read {self.name}: {error.message}") from None
        except Exception as error:
            if is_torn(error):
                raise BulkFileError(
                    f"{self.name} is torn, or is not compressed as its name says: {error}"
                ) from error
            if isinstance(error, OSError):
                raise BulkFileError(
                    f"cannot read {self.name}: {error.strerror or error}"
                ) from error
            raise


def source(name: str, given: str | None = None) -> Source:
    """Return the input of that name.

    Args:
        name: A path, or `-` for standard input.
        given: Its format, as endings ("jsonl.gz"), if the name does not say; standard input is
            JSON Lines by default.

    Raises:
        BulkFileError: The format is not known, or cannot come from standard input; it is a pipe.
    """
    if name == "-":
        encoding = detect_encoding(name, given=given or "jsonl", allowed=READABLE)
        if encoding.format.name == "parquet":
            raise BulkFileError("Parquet is read from its end: give a file, not standard input")
        return Source(None, encoding)
    path = Path(name)
    if path.exists() and not path.is_file() and not path.is_dir():
        # Its rows are counted before they are read.
        raise BulkFileError(f"{name} can be read only once: pass it as standard input, with -")
    return Source(path, detect_encoding(name, given=given, allowed=READABLE))


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise BulkFileError("it is closed")
    # Not sys.stdin: the interpreter cannot exit while another thread is blocked reading it.
    return open(sys.stdin.fileno(), "rb", closefd=False)


def _skip_mark(stream: io.BufferedReader) -> None:
    start = stream.peek(len(_UTF8_MARK))
    if start.startswith(_UTF16_MARKS):
        raise BulkFileError("it is UTF-16: iconv -f UTF-16 -t UTF-8")
    if start.startswith(_UTF8_MARK):
        stream.read(len(_UTF8_MARK))
