"""Writes that are on the disk when they return: `sync`, `rename_durably`; and their errors."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from hfgen._core.errors import BulkFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into an error that names the file and says what is safe.

    Raises:
        BulkFileError: For each OSError.
    """
    try:
        yield
    except OSError as error:
        raise write_error(path, error.strerror or str(error)) from error


def write_error(path: Path, reason: str) -> BulkFileError:
    return BulkFileError(
        f"cannot write {path}: {reason}. What was committed is safe: "
        "when that can be written, start again with the same command"
    )


def sync(file: BinaryIO) -> None:
    """Flush and fsync: all that was written is on the disk when this returns."""
    file.flush()
    os.fsync(file.fileno())


def rename_durably(temporary: Path, path: Path) -> None:
    """Rename `temporary`, which is synced, to `path`; then sync the folder."""
    os.replace(temporary, path)  # noqa: PTH105 - tests replace os.replace
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Fsync the folder: new names in it are on the disk when this returns."""
    if os.name == "nt":
        # Windows cannot open a folder, and writes names without it.
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
