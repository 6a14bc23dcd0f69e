"""Stores finished rows, so that no row is lost and none is stored twice.

One transaction writes a batch of rows to the state: their lines (the tail), where they will be in
the file of rows, and the new end of that file. Then the lines are appended to the file, and synced.
If the process is killed in between, the next start writes the tail again. So all bytes of the file
are known to the state, and what lies behind them was written by others: it is never cut off.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

from hfgen._core.errors import BulkFileError
from hfgen._files.durable import compute_digest, rename_durably, sync, translate_write_errors
from hfgen._files.rewrite import finish_rewrite, open_scratch, rewrite
from hfgen._files.row_file import RowFile
from hfgen._files.state import State, side_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO, Self

    from hfgen._files.record import Record
    from hfgen._files.row import Row
    from hfgen._files.target import Target

# Bytes of lines that go into one transaction, unless one line is longer.
_MAX_BATCH_BYTES = 1 << 24


class Store:
    """The finished rows of an output; a context manager. Any thread may use it.

    Args:
        target: The output.
        settings: What decides the results, as JSON: `input` (the digest of the input), the model,
            the parameters, the template; not keys, URLs, limits. A run can be continued only with
            the same settings.
        source: The file of the input, which must not be the output; None for standard input.
        restart: Whether to discard the rows of earlier runs.

    Attributes:
        done: How many rows are finished, with or without text.
        errors: How many of them have an error, by its type.
        generated_tokens: How many tokens they have together.

    Raises:
        BulkFileError: The output is not one of a run that can be continued; it was begun with other
            settings, or was changed since; the state is damaged; another process is writing it; it
            cannot be written.
    """

    def __init__(
        self,
        target: Target,
        *,
        settings: Mapping[str, Any],
        source: Path | None = None,
        restart: bool = False,
    ) -> None:
        self._target = target
        self._lock = Lock()
        self._broken: BulkFileError | None = None
        # Whether the file of rows has all lines that the state has.
        self._is_written = True
        _check_files(target, source, restart=restart)
        self._state = State(target.state, restart=restart)
        try:
            self._open_output(settings)
        except BaseException:
            self._state.close()
            raise

    def _open_output(self, settings: Mapping[str, Any]) -> None:
        rows, state = self._target.rows, self._state
        finish_rewrite(state, rows)
        if state.execute("SELECT 1 FROM rows LIMIT 1"):
            _check_same_run(self._target.path, state["settings"], settings)
        else:
            # No row is finished, so other settings lose nothing: --restart is not needed.
            state["settings"] = settings
        if state["end"] and not rows.exists():
            raise BulkFileError(
                f"{rows} is gone, but {self._target.state} is there: put it back, or start over "
                "with --restart"
            )
        self._file = RowFile(rows)
        try:
            if state["restarting"]:
                self._file.truncate(0)
                with state.transaction():
                    state["exported"] = self._compute_digests()
                    state["restarting"] = False
            self._file.restore(state.read_tail(), state["end"])
            self._check_last_line()
            self._check_exported()
            self._load_counts()
        except BaseException:
            self._file.close()
            raise

    def _check_last_line(self) -> None:
        for line in self._state.execute(
            "SELECT offset, length, crc FROM rows ORDER BY offset DESC LIMIT 1"
        ):
            self._file.read(*line)

    def _check_exported(self) -> None:
        """Check that the exported output, if it exists, may be replaced."""
        exported: list[str] = self._state["exported"]
        if not set(self._compute_digests()) <= set(exported):
            raise BulkFileError(
                f"{self._target.path} exists, and is not what a run has written there: move it "
                "away, choose another output, or overwrite it with --restart"
            )

    def _compute_digests(self) -> list[str]:
        """Return the digest of the exported output; nothing if there is none, or an empty file."""
        path = self._target.path
        if not self._target.is_exported or not path.exists() or not (size := path.stat().st_size):
            return []
        with translate_write_errors(path):
            return [compute_digest(path, size)]

    def _load_counts(self) -> None:
        counts = self._state.execute(
            "SELECT error, COUNT(*), TOTAL(generated_tokens) FROM rows GROUP BY error"
        )
        self.done = sum(count for _, count, _ in counts)
        self.errors = Counter({error: count for error, count, _ in counts if error is not None})
        self.generated_tokens = int(sum(tokens for *_, tokens in counts))

    def skip_finished(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows that are not finished yet.

        Raises:
            BulkFileError: Without a digest of the input: a finished row has changed, or is missing.
                Also what reading the rows raises.
        """
        finished = self._read_finished()
        index, digest = next(finished, (None, None))
        for row in rows:
            if row.index != index:
                yield row
                continue
            if digest is not None and digest != row.digest():
                raise self._other_input_error(f"row {index} is not the same")
            index, digest = next(finished, (None, None))
        if index is not None:
            raise self._other_input_error(f"it ends before row {index}, which was finished")

    def _read_finished(self) -> Iterator[tuple[int, bytes | None]]:
        # Rows that are committed meanwhile come from `rows`, so their indices are already passed.
        pages = self._state.read_pages("digest")
        while True:
            with self._lock:
                page = next(pages, None)
            if page is None:
                return
            yield from page

    def _other_input_error(self, reason: str) -> BulkFileError:
        return BulkFileError(
            f"{self._target.path} was begun with another input: {reason}. Give it the same one, or "
            "start over with --restart"
        )

    def commit(self, records: Sequence[Record]) -> None:
        """Store finished rows: they are on the disk when this returns.

        Raises:
            BulkFileError: They could not be written, or the output was changed by others. Further
                commits fail with this error. The next start has all of these rows or some, none in
                part; earlier rows are safe.
            ValueError: One of the rows is stored already.
        """
        with self._lock_for_change():
            for batch in _split(records):
                self._commit(batch)
                self.done += len(batch)
                self.errors.update(record.error for record in batch if record.error is not None)
                self.generated_tokens += sum(record.generated_tokens or 0 for record in batch)

    def check_in_place(self) -> None:
        """Check that the output has all finished rows, and that its path still names it.

        Raises:
            BulkFileError: Others have removed, moved, replaced or changed it.
        """
        with self._lock_for_change():
            self._check_in_place()

    def _check_in_place(self) -> None:
        self._state.check_in_place()
        self._file.check(self._state["end"])

    @contextmanager
    def _lock_for_change(self) -> Iterator[None]:
        with self._lock:
            if self._broken is not None:
                raise self._broken
            try:
                yield
            except BulkFileError as error:
                # After a failed sync, what is on the disk is unknown. The next start finds out.
                self._broken = error
                raise

    def _commit(self, records: Sequence[Record]) -> None:
        if not self._is_written:
            # A signal handler has raised an exception in the middle of the last commit.
            self._file.restore(self._state.read_tail(), self._state["end"])
            self._is_written = True
        self._check_in_place()
        before: int = self._state["end"]
        rows, end = [], before
        for record in records:
            size, crc = len(record.line), zlib.crc32(record.line)
            rows.append(
                (record.index, end, size, crc, record.error, record.generated_tokens, record.digest)
            )
            end += size
        data = b"".join(record.line for record in records)
        with self._state.transaction():
            self._state.insert("rows", rows)
            self._state["end"] = end
            self._state.set_tail(data)
            self._is_written = False
        try:
            self._file.write(data, before)
        except BaseException:
            # Otherwise the output would have a torn line until the next start.
            with suppress(BulkFileError):
                self._file.truncate(before)
            raise
        self._is_written = True

    def forget_errors(self) -> None:
        """Remove the rows that have an error from the output: they are then not finished.

        Raises:
            BulkFileError: The output cannot be rewritten. It has not changed, or the next start
                completes the change; further commits fail with this error.
        """
        if self.errors:
            self._rewrite(errors=False)

    def sort(self) -> None:
        """Sort the finished rows by the order of the input, if they are not.

        Raises:
            BulkFileError: As for `forget_errors`.
        """
        with self._lock:
            unsorted = self._state.execute(
                "SELECT 1 FROM (SELECT offset, LAG(offset) OVER (ORDER BY idx) AS before FROM rows)"
                " WHERE offset < before LIMIT 1"
            )
        if unsorted:
            self._rewrite(errors=True)

    def _rewrite(self, *, errors: bool) -> None:
        with self._lock_for_change():
            rewrite(self._state, self._file, errors=errors)
            self._load_counts()

    def read_lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield index and line of each finished row, in the order of the input.

        Raises:
            BulkFileError: The file of rows was changed.
        """
        for page in self._state.read_pages("offset, length, crc"):
            for index, *line in page:
                yield index, self._file.read(*line)

    @contextmanager
    def replace_output(self) -> Iterator[BinaryIO]:
        """Give a new file, which replaces the exported output when the block ends.

        Raises:
            BulkFileError: An OSError of the block, or of replacing; the output was made by others.
        """
        path = self._target.path
        with open_scratch(self._state, path) as (new, file):
            yield file
            sync(file)
            size = file.tell()
            file.close()
            self._check_exported()
            self._state["exported"] = [*self._compute_digests(), compute_digest(new, size)]
            rename_durably(new, path)

    def close(self) -> None:
        """Close the files of the output; all committed rows are on the disk."""
        with self._lock:
            if self._is_written:
                # From now on, all changes are by others.
                with suppress(BulkFileError):
                    self._state.set_tail(b"")
            self._file.close()
            self._state.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _split(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Yield the records in batches of bounded size."""
    batch: list[Record] = []
    size = 0
    for record in records:
        if batch and size + len(record.line) > _MAX_BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += len(record.line)
    if batch:
        yield batch


def _check_files(target: Target, source: Path | None, *, restart: bool) -> None:
    """Check that no file of the user's is changed, before one is opened.

    Raises:
        BulkFileError: One of the files of the output is the input; or the output exists without a
            state.
    """
    files = [target.path, target.rows, target.state]
    for path in (*files, *side_files(target.state)):
        if source is not None and source.exists() and path.exists() and path.samefile(source):
            raise BulkFileError(f"{path} is the input: choose another output")
    if restart or _measure_size(target.state):
        return
    for path in files:
        if _measure_size(path):
            raise BulkFileError(
                f"{path} exists, and is not the output of a run that can be continued, because "
                f"{target.state} is missing or empty: choose another output, or overwrite it with "
                "--restart"
            )


def _measure_size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check_same_run(path: Path, recorded: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Check that the output was begun with the current settings.

    Raises:
        BulkFileError: It was not; the message names the differences.
    """
    old, new = dict(_flatten(recorded)), dict(_flatten(current))
    changes = [
        "the input is another one, or was changed"
        if key == "input"
        else f"{key} was {_format_setting(old, key)}, is {_format_setting(new, key)}"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
    if changes:
        raise BulkFileError(
            f"{path} was begun differently: {'; '.join(changes)}. Go on as it was begun, choose "
            "another output, or start over with --restart"
        )


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        elif value is not None:
            yield prefix + key, json.dumps(value, sort_keys=True)


def _format_setting(settings: Mapping[str, str], key: str) -> str:
    return settings.get(key, "not given")
