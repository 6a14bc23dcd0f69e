"""The file of finished rows, one line for each row."""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING

from hfgen._core.errors import BulkFileError
from hfgen._files.durable import check_in_place, sync, sync_folder, translate_write_errors

if TYPE_CHECKING:
    from pathlib import Path


class RowFile:
    """The open file. It is created if it does not exist.

    Args:
        path: The file.

    Raises:
        BulkFileError: The file cannot be opened or created.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.open()

    def open(self) -> None:
        """Open the file, the first time or again after `close`."""
        with translate_write_errors(self.path):
            is_new = not self.path.exists()
            # Unbuffered: a buffer would try again later to write what has failed.
            self._file = self.path.open("x+b" if is_new else "r+b", buffering=0)
            self._reader = self.path.open("rb")
            if is_new:
                sync_folder(self.path.parent)

    def write(self, data: bytes, offset: int) -> None:
        """Write the bytes at this offset, and return when they are on the disk.

        Raises:
            BulkFileError: Not all of them could be written.
        """
        with translate_write_errors(self.path):
            self._file.seek(offset)
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
            sync(self._file)

    def truncate(self, end: int) -> None:
        """Remove what lies behind `end` bytes.

        Raises:
            BulkFileError: The file cannot be written.
        """
        with translate_write_errors(self.path):
            if os.fstat(self._file.fileno()).st_size > end:
                self._file.truncate(end)
                sync(self._file)

    def check(self, end: int, missing: int = 0) -> None:
        """Check that the path still names this file, and that it ends where it should.

        Args:
            end: The size that it should have, in bytes.
            missing: How many of them may be missing.

        Raises:
            BulkFileError: Others have changed the file.
        """
        opened = os.fstat(self._file.fileno())
        check_in_place(self.path, opened)
        size = opened.st_size
        if size > end:
            raise BulkFileError(
                f"{self.path} has {size - end} bytes that no run has written, behind byte {end}. "
                "Move them to another file, choose another output, or overwrite this one with "
                "--restart"
            )
        if size < end - missing:
            raise self._changed_error(f"it has {size} bytes, and had {end}")

    def restore(self, tail: bytes, end: int) -> None:
        """Write the last lines again if they are missing, whole or in part.

        Args:
            tail: The last lines.
            end: Where they end.

        Raises:
            BulkFileError: Others have changed the file, or it cannot be written.
        """
        self.check(end, missing=len(tail))
        start = end - len(tail)
        if tail and self._read(start, len(tail)) != tail:
            self.write(tail, start)

    def read(self, offset: int, length: int, crc: int) -> bytes:
        """Return a line that was committed.

        Raises:
            BulkFileError: The line is not there any more.
        """
        line = self._read(offset, length)
        if len(line) < length or zlib.crc32(line) != crc:
            raise self._changed_error(
                f"the line that was written at byte {offset} is not there any more"
            )
        return line

    def _read(self, offset: int, length: int) -> bytes:
        try:
            self._reader.seek(offset)
            return self._reader.read(length)
        except OSError as error:
            raise BulkFileError(f"cannot read {self.path}: {error.strerror}") from error

    def _changed_error(self, reason: str) -> BulkFileError:
        return BulkFileError(
            f"{self.path} was changed: {reason}. Put it back as it was, or start over with "
            "--restart"
        )

    def close(self) -> None:
        """Close the file; all writes are on the disk already."""
        self._file.close()
        self._reader.close()
