"""Rewrites the file of rows: sorted by the order of the input, with or without its errors.

    1. The lines that stay are written to OUTPUT.rewrite, and synced.
    2. Their new offsets go into the table `moved`, and the size and digest of the new file into
       `pending`, in one transaction.
    3. OUTPUT.rewrite is renamed to OUTPUT.
    4. `moved` is renamed to `rows`, and `pending` is cleared, in one transaction.

The process may be killed at any step. Before 2 is committed, nothing has changed; afterwards, the
next start repeats 3 and 4 with `finish_rewrite`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hfgen._core.errors import BulkFileError
from hfgen._files.durable import rename_durably, sync, sync_folder, translate_write_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any, BinaryIO

    from hfgen._files.row_file import RowFile
    from hfgen._files.state import State

_HASH = "blake2b"
_BLOCK = 1 << 20


def rewrite(state: State, file: RowFile, *, errors: bool) -> None:
    """Sort the rows by the order of the input.

    Args:
        state: The state, which is changed too.
        file: The file of rows.
        errors: Whether to keep the rows that have an error.

    Raises:
        BulkFileError: The new file could not be written; then nothing has changed.
    """
    new = _rewrite_path(file.path)
    with translate_write_errors(new), new.open("wb") as output, state.transaction():
        try:
            end, digest = _copy_lines(state, file, output, errors=errors)
            sync(output)
            sync_folder(new.parent)
        except BaseException:
            # The disk may be full because of this file.
            new.unlink(missing_ok=True)
            raise
        state["pending"] = {"end": end, "digest": digest}
    file.close()
    finish_rewrite(state, file.path)
    file.open()


def finish_rewrite(state: State, path: Path) -> None:
    """Complete a rewrite that was interrupted, if there is one.

    Raises:
        BulkFileError: One of the files is missing or was changed.
    """
    new, pending = _rewrite_path(path), state["pending"]
    if pending is None:
        new.unlink(missing_ok=True)
        return
    current = new if new.exists() else path
    if not current.exists() or _compute_digest(current, pending["end"]) != pending["digest"]:
        raise BulkFileError(
            f"{current} was changed while it was being rewritten; put it back, or start "
            "over with --restart"
        )
    if current is new:
        with translate_write_errors(path):
            rename_durably(new, path)
    with state.transaction():
        state.execute("DROP TABLE rows")
        state.execute("ALTER TABLE moved RENAME TO rows")
        state["end"] = pending["end"]
        state["pending"] = None


def _copy_lines(state: State, file: RowFile, output: BinaryIO, *, errors: bool) -> tuple[int, str]:
    """Copy the lines that stay; return the size and the digest of the copy."""
    state.create_rows_table("moved")
    end, digest = 0, hashlib.new(_HASH)
    for page in state.read_pages("offset, length, error, generated_tokens, digest"):
        staying = [row for row in page if errors or row[3] is None]
        data = b"".join(file.read(offset, length) for _, offset, length, *_ in staying)
        state.insert("moved", _assign_offsets(staying, end))
        digest.update(data)
        output.write(data)
        end += len(data)
    return end, digest.hexdigest()


def _rewrite_path(path: Path) -> Path:
    return path.with_name(path.name + ".rewrite")


def _assign_offsets(rows: list[tuple[Any, ...]], end: int) -> Iterator[tuple[Any, ...]]:
    for index, _, length, *rest in rows:
        yield index, end, length, *rest
        end += length


def _compute_digest(path: Path, end: int) -> str:
    digest = hashlib.new(_HASH)
    with path.open("rb") as file:
        while block := file.read(min(_BLOCK, end)):
            digest.update(block)
            end -= len(block)
    return digest.hexdigest()
