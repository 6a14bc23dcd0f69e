"""Replaces a file beside the state: by new rows, or the file of rows by a rewritten one.

A new file has a name that no other file has, so that none is overwritten. The state notes the name
before the file is created; the next start removes it if the process was killed.

A rewrite sorts the file of rows by the order of the input, with or without its errors:

    1. The lines that stay are written to the new file, and synced.
    2. Their new offsets go into the table `moved`, and name, size and digest of the new file into
       `pending`, in one transaction.
    3. The new file is renamed to OUTPUT.
    4. `moved` is renamed to `rows`, and `pending` is cleared, in one transaction.

The process may be killed at any step. Before 2 is committed, nothing has changed; afterwards, the
next start repeats 3 and 4 with `finish_rewrite`.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hfgen._core.errors import BulkFileError
from hfgen._files.durable import (
    choose_scratch_path,
    compute_digest,
    rename_durably,
    sync,
    sync_folder,
    translate_write_errors,
)
from hfgen._files.state import PendingRewrite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any, BinaryIO

    from hfgen._files.row_file import RowFile
    from hfgen._files.state import State


@contextmanager
def open_scratch(state: State, path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Give a new file beside `path`, and its path; it is removed if the block fails.

    Raises:
        BulkFileError: An OSError of the block.
    """
    new = choose_scratch_path(path)
    state["scratch"] = new.name
    with translate_write_errors(path):
        try:
            with new.open("xb") as file:
                yield new, file
        except BaseException:
            # The disk may be full because of this file.
            new.unlink(missing_ok=True)
            raise


def rewrite(state: State, file: RowFile, *, errors: bool) -> None:
    """Sort the rows by the order of the input.

    Args:
        state: The state, which is changed too.
        file: The file of rows.
        errors: Whether to keep the rows that have an error.

    Raises:
        BulkFileError: The new file could not be written; then nothing has changed.
    """
    with open_scratch(state, file.path) as (new, output), state.transaction():
        end, digest = _copy_lines(state, file, output, errors=errors)
        sync(output)
        sync_folder(new.parent)
        state["pending"] = PendingRewrite(new.name, end, digest)
    file.close()
    finish_rewrite(state, file.path)
    file.open()


def finish_rewrite(state: State, path: Path) -> None:
    """Complete a rewrite that was interrupted, if there is one.

    Raises:
        BulkFileError: One of the files is missing or was changed.
    """
    pending: PendingRewrite | None = state["pending"]
    if pending is None:
        if (scratch := state["scratch"]) is not None:
            path.with_name(scratch).unlink(missing_ok=True)
        return
    new = path.with_name(pending.file)
    current = new if new.exists() else path
    if not current.exists() or compute_digest(current, pending.end) != pending.digest:
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
        state["end"] = pending.end
        state.set_tail(b"")
        state["pending"] = None


def _copy_lines(state: State, file: RowFile, output: BinaryIO, *, errors: bool) -> tuple[int, str]:
    """Copy the lines that stay; return the size and the digest of the copy."""
    state.create_rows_table("moved")
    end, digest = 0, hashlib.blake2b()
    for page in state.read_pages("offset, length, crc, error, generated_tokens, digest"):
        staying = [row for row in page if errors or row[4] is None]
        data = b"".join(file.read(offset, length, crc) for _, offset, length, crc, *_ in staying)
        state.insert("moved", _assign_offsets(staying, end))
        digest.update(data)
        output.write(data)
        end += len(data)
    return end, digest.hexdigest()


def _assign_offsets(rows: list[tuple[Any, ...]], end: int) -> Iterator[tuple[Any, ...]]:
    for index, _, length, *rest in rows:
        yield index, end, length, *rest
        end += length
