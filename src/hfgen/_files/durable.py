"""Durable writes (`sync`, `rename_durably`): the data is on the disk when they return."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from hfgen._core.errors import BulkFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def translate_write_errors(path: Path) -> Iterator[None]:
    """Translate an OSError of the block: the error names the file, and says how to go on.

    Raises:
        BulkFileError: For each OSError.
    """
    try:
        yield
    except OSError as error:
        raise write_error(path, error.strerror or str(error)) from error


def write_error(path: Path, reason: str) -> BulkFileError:
    """Return the error for a file that cannot be written."""
    return BulkFileError(
        f"cannot write {path}: {reason}. What was committed is safe: "
        "when that can be written, start again with the same command"
    )


def sync(file: BinaryIO) -> None:
    """Flush and fsync the file: its data is on the disk when this returns."""
    file.flush()
    os.fsync(file.fileno())


def rename_durably(temporary: Path, path: Path) -> None:
    """Rename `temporary`, which must be synced, to `path`; then fsync the folder."""
    os.replace(temporary, path)  # noqa: PTH105 - tests replace os.replace
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Fsync the folder: its new names are on the disk when this returns."""
    if os.name == "nt":
        # Windows cannot open a folder, and needs no fsync for the names in it.
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
