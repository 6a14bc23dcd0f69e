"""Bytes that are on the disk, and not on their way there."""

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
    """Say which file an error of the block is about, and what of it is safe.

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
    """Return when all that was written is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def rename_durably(temporary: Path, path: Path) -> None:
    """Make a file, which is on the disk, what `path` names, for good."""
    os.replace(temporary, path)  # noqa: PTH105 - as tests see it
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Return when the names in the folder are on the disk."""
    if os.name == "nt":
        # Windows opens no folders, and keeps names by itself.
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
