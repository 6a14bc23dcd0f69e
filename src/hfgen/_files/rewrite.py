"""Rewrites the file of rows, without its errors or in the order of the input.

    1. the lines that stay are written to OUTPUT.rewrite, and synced
    2. their new places are written to the table `moved`, and `pending` tells of the new file
    3. OUTPUT.rewrite is put in the place of OUTPUT
    4. `moved` becomes `rows`, and `pending` is cleared

Before 2 is committed nothing has happened; after it, `finish` can be repeated until it has all been
done. So the process may be killed anywhere.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hfgen._core.errors import BulkFileError
from hfgen._files.durable import naming_file, rename_durably, sync, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any, BinaryIO

    from hfgen._files.row_file import RowFile
    from hfgen._files.state import State

_HASH = "blake2b"
_BLOCK = 1 << 20


def rewrite(state: State, file: RowFile, *, errors: bool) -> None:
    """Put the rows in the order of the input, with their errors or without them.

    Raises:
        BulkFileError: It could not be written; then all is as it was.
    """
    new = _new(file.path)
    with naming_file(new), new.open("wb") as output, state.transaction():
        try:
            end, digest = _copy(state, file, output, errors=errors)
            sync(output)
            sync_folder(new.parent)
        except BaseException:
            # This file may be the reason that the disk is full.
            new.unlink(missing_ok=True)
            raise
        state["pending"] = {"end": end, "digest": digest}
    file.close()
    finish(state, file.path)
    file.open()


def finish(state: State, path: Path) -> None:
    """Complete a rewrite that was interrupted, if there is one.

    Raises:
        BulkFileError: One of the files is missing or was changed.
    """
    new, pending = _new(path), state["pending"]
    if pending is None:
        new.unlink(missing_ok=True)
        return
    current = new if new.exists() else path
    if not current.exists() or _digest(current, pending["end"]) != pending["digest"]:
        raise BulkFileError(
            f"{current} was being rewritten, and is not what it was then; put it back, or begin "
            "anew with --restart"
        )
    if current is new:
        with naming_file(path):
            rename_durably(new, path)
    with state.transaction():
        state.execute("DROP TABLE rows")
        state.execute("ALTER TABLE moved RENAME TO rows")
        state["end"] = pending["end"]
        state["pending"] = None


def _copy(state: State, file: RowFile, output: BinaryIO, *, errors: bool) -> tuple[int, str]:
    """Write the lines that stay, note their places, return their end and digest."""
    state.make_rows("moved")
    end, digest = 0, hashlib.new(_HASH)
    for page in state.pages("offset, length, error, generated_tokens, digest"):
        kept = [row for row in page if errors or row[3] is None]
        data = b"".join(file.read(offset, length) for _, offset, length, *_ in kept)
        state.insert("moved", _moved(kept, end))
        digest.update(data)
        output.write(data)
        end += len(data)
    return end, digest.hexdigest()


def _new(path: Path) -> Path:
    return path.with_name(path.name + ".rewrite")


def _moved(rows: list[tuple[Any, ...]], end: int) -> Iterator[tuple[Any, ...]]:
    for index, _, length, *rest in rows:
        yield index, end, length, *rest
        end += length


def _digest(path: Path, end: int) -> str:
    digest = hashlib.new(_HASH)
    with path.open("rb") as file:
        while block := file.read(min(_BLOCK, end)):
            digest.update(block)
            end -= len(block)
    return digest.hexdigest()
