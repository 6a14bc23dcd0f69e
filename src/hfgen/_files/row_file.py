"""The file of finished rows, one line for each row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfgen._core.errors import BulkFileError
from hfgen._files.durable import sync, sync_folder, translate_write_errors

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
        """Truncate the file to `end` bytes: what follows is torn or was never committed.

        Raises:
            BulkFileError: No line ends there, or the file cannot be written.
        """
        if end:
            self.read(end - 1, 1)
        with translate_write_errors(self.path):
            if self._file.seek(0, 2) > end:
                self._file.truncate(end)
                sync(self._file)

    def read(self, offset: int, length: int) -> bytes:
        """Return a line that was committed.

        Raises:
            BulkFileError: The line is not there any more.
        """
        try:
            self._reader.seek(offset)
            line = self._reader.read(length)
        except OSError as error:
            raise BulkFileError(f"cannot read {self.path}: {error.strerror}") from error
        if len(line) < length or not line.endswith(b"\n"):
            raise BulkFileError(
                f"{self.path} was changed: no line ends at byte {offset + length}, where one did. "
                "Put it back as it was, or start over with --restart"
            )
        return line

    def close(self) -> None:
        """Close the file; all writes are on the disk already."""
        self._file.close()
        self._reader.close()
