"""Durable writes (`sync`, `rename_durably`): the data is on the disk when they return.

Also checks of files that others may change: `check_in_place`, `compute_digest`.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from hfgen._core.errors import BulkFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK = 1 << 20


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


def choose_scratch_path(path: Path) -> Path:
    """Return a path beside `path` that no file has: by chance, so open it with mode "x"."""
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")


def check_in_place(path: Path, opened: os.stat_result) -> None:
    """Check that the path still names the file that was opened.

    Raises:
        BulkFileError: The file, or a folder above it, was removed, moved or replaced.
    """
    with suppress(OSError):
        if os.path.samestat(path.stat(), opened):
            return
    raise BulkFileError(
        f"{path} was removed, moved or replaced while the run was writing it. Put it back, and "
        "start again with the same command; or start over with --restart"
    )


def compute_digest(path: Path, size: int) -> str:
    """Return a hash of the first `size` bytes of the file.

    Raises:
        OSError: The file cannot be read.
    """
    digest = hashlib.blake2b()
    with path.open("rb") as file:
        while block := file.read(min(_BLOCK, size)):
            digest.update(block)
            size -= len(block)
    return digest.hexdigest()
