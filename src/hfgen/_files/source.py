"""The input, in any format: a file, or standard input."""

from __future__ import annotations

import hashlib
import io
import os
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from hfgen._core.errors import BulkFileError
from hfgen._files.formats import COMPRESSIONS, READABLE, Encoding, detect_encoding, is_torn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from hfgen._files.row import Row

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_BUFFER_SIZE = 1 << 17


@dataclass
class Source:
    """The input of a run.

    After `digest`, the file must stay as it was: reading it raises an error if it was changed.

    Attributes:
        path: The file; None for standard input.
        encoding: Its format and compression.
    """

    path: Path | None
    encoding: Encoding
    _digest: str | None = field(default=None, init=False, repr=False)
    # What the system tells of the file: a file with the same mark is not hashed again.
    _mark: tuple[int, ...] = field(default=(), init=False, repr=False)

    @classmethod
    def from_name(cls, name: str, endings: str | None = None) -> Source:
        """Return the input of that name.

        Args:
            name: A path, or `-` for standard input.
            endings: The format, such as "jsonl.gz"; None to take it from the name. Standard input
                is JSON Lines by default.

        Raises:
            BulkFileError: The format is unknown, or cannot be read from standard input; the path is
                a pipe.
        """
        if name == "-":
            encoding = detect_encoding(name, endings=endings or "jsonl", allowed=READABLE)
            if encoding.format.name == "parquet":
                raise BulkFileError("Parquet cannot be read from standard input: give a file")
            return cls(None, encoding)
        path = Path(name)
        if path.exists() and not path.is_file() and not path.is_dir():
            # A pipe: the file would be read twice, to count its rows and to read them.
            raise BulkFileError(f"{name} can be read only once: pass it as standard input, with -")
        return cls(path, detect_encoding(name, endings=endings, allowed=READABLE))

    @property
    def name(self) -> str:
        return "standard input" if self.path is None else str(self.path)

    def rows(self) -> Iterator[Row]:
        """Yield all rows. At most one is in memory, or a thousand of a Parquet file.

        A row that cannot be read is yielded too, with its `problem`.

        Raises:
            BulkFileError: The file cannot be read, or is damaged or torn from some row on.
        """
        with self.open() as stream:
            yield from self.encoding.format.read_rows(stream)

    def rows_with_all_columns(self) -> Iterator[Row]:
        """Yield rows which together have all columns of the file; nothing for standard input.

        Raises:
            BulkFileError: As for `rows`.
        """
        if self.path is not None:
            for row in self.rows():
                yield row
                if row.problem is None and not self.encoding.format.has_own_columns:
                    return

    def count(self) -> int | None:
        """Return how many rows there are; None for standard input, which can be read only once.

        Raises:
            BulkFileError: As for `rows`.
        """
        if self.path is None:
            return None
        with self.open() as stream:
            return self.encoding.format.count_rows(stream)

    def digest(self) -> str | None:
        """Return a hash of the file's content; None for standard input.

        Raises:
            BulkFileError: The file cannot be read.
        """
        if self.path is None:
            return None
        with self._translate_errors(), self.path.open("rb") as file:
            # Before the content, so that a change meanwhile is noticed later.
            self._mark = _read_mark(file)
            self._digest = hashlib.file_digest(file, "sha256").hexdigest()
        return self._digest

    def _check_unchanged(self, file: io.FileIO) -> None:
        """Check that the file has the content that `digest` has seen.

        Raises:
            BulkFileError: It has not.
        """
        if self._digest is None or _read_mark(file) == self._mark:
            return
        before = self._digest, self._mark
        if self.digest() != before[0]:
            self._digest, self._mark = before
            raise BulkFileError(
                "it was changed during the run. Put it back as it was, and start again with the "
                "same command; or start over with --restart"
            )

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open the input as a stream of uncompressed bytes, without a byte order mark.

        Raises:
            BulkFileError: As for `rows`. Errors of the block are translated, too.
        """
        with self._translate_errors(), ExitStack() as stack:
            stream: BinaryIO = (
                _open_standard_input()
                if self.path is None
                else stack.enter_context(_open_file(self.path, self._check_unchanged))
            )
            if self.encoding.compression:
                opener = COMPRESSIONS[self.encoding.compression]
                unpacked = stack.enter_context(opener(stream, "rb"))
                stream = stack.enter_context(io.BufferedReader(unpacked))
            if self.encoding.format.name != "parquet":
                _skip_mark(cast("io.BufferedReader", stream))
            yield stream

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except BulkFileError as error:
            raise BulkFileError(f"cannot read {self.name}: {error.message}") from None
        except Exception as error:
            if is_torn(error):
                raise BulkFileError(
                    f"{self.name} ends too early, or is not compressed as its name says: {error}"
                ) from error
            if isinstance(error, OSError):
                raise BulkFileError(
                    f"cannot read {self.name}: {error.strerror or error}"
                ) from error
            raise


class _CheckedFile(io.RawIOBase):
    """A file that is checked after each read, so that nothing is handed out that was changed.

    Args:
        path: The file.
        check: Called with the open file.
    """

    def __init__(self, path: Path, check: Callable[[io.FileIO], object]) -> None:
        self._file = io.FileIO(path)
        self._check = check

    def readinto(self, buffer: Any) -> int:
        count = self._file.readinto(buffer)
        self._check(self._file)
        return count

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()


def _open_file(path: Path, check: Callable[[io.FileIO], object]) -> BinaryIO:
    return io.BufferedReader(_CheckedFile(path, check), _BUFFER_SIZE)


def _read_mark(file: BinaryIO | io.FileIO) -> tuple[int, ...]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _open_standard_input() -> BinaryIO:
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
