"""The file that finished rows are added to, a line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfgen._core.errors import BulkFileError
from hfgen._files.durable import naming_file, sync, sync_folder

if TYPE_CHECKING:
    from pathlib import Path


class RowFile:
    """The file, open for reading and writing; made if there is none.

    Args:
        path: The file.

    Raises:
        BulkFileError: It cannot be opened or made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.open()

    def open(self) -> None:
        """Open it, the first time or after `close`."""
        with naming_file(self.path):
            made = not self.path.exists()
            # Unbuffered: what could not be written must not be tried again by a buffer later.
            self._file = self.path.open("x+b" if made else "r+b", buffering=0)
            self._reader = self.path.open("rb")
            if made:
                sync_folder(self.path.parent)

    def write(self, data: bytes, at: int) -> None:
        """Write the bytes behind the first `at` bytes, and return when they are on the disk.

        Raises:
            BulkFileError: They could not be written, or not all of them.
        """
        with naming_file(self.path):
            self._file.seek(at)
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
            sync(self._file)

    def cut(self, end: int) -> None:
        """Truncate the file to `end` bytes: what follows is torn or was never committed.

        Raises:
            BulkFileError: No line ends there, or it cannot be written.
        """
        if end:
            self.read(end - 1, 1)
        with naming_file(self.path):
            if self._file.seek(0, 2) > end:
                self._file.truncate(end)
                sync(self._file)

    def read(self, offset: int, length: int) -> bytes:
        """Return a line that was committed.

        Raises:
            BulkFileError: It is not there any more.
        """
        try:
            self._reader.seek(offset)
            line = self._reader.read(length)
        except OSError as error:
            raise BulkFileError(f"cannot read {self.path}: {error.strerror}") from error
        if len(line) < length or not line.endswith(b"\n"):
            raise BulkFileError(
                f"{self.path} was changed: no line ends at byte {offset + length}, where one did. "
                "Put it back as it was, or begin anew with --restart"
            )
        return line

    def close(self) -> None:
        """Close it; nothing is left to be written."""
        self._file.close()
        self._reader.close()
