"""Stores finished rows, so that no row is lost and none is stored twice.

A batch of lines is appended to the file of rows and synced. Then one transaction writes their
offsets and the new end of the file to the state. On the next start, bytes after that end are cut
off, and their rows are done again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

from hfgen._core.errors import BulkFileError
from hfgen._files.rewrite import finish_rewrite, rewrite
from hfgen._files.row_file import RowFile
from hfgen._files.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from hfgen._files.record import Record
    from hfgen._files.row import Row
    from hfgen._files.target import Target


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
        BulkFileError: The output exists without a state; it was begun with other settings, or was
            changed since; another process is writing it; it cannot be written.
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
        _check_nothing_is_lost(target, source, restart=restart)
        self._state = State(target.state, restart=restart)
        try:
            self._open_output(settings)
        except BaseException:
            self._state.close()
            raise
        self._load_counts()

    def _open_output(self, settings: Mapping[str, Any]) -> None:
        rows = self._target.rows
        finish_rewrite(self._state, rows)
        if self._state.execute("SELECT 1 FROM rows LIMIT 1"):
            _check_same_run(self._target.path, self._state["settings"], settings)
        else:
            # No row is finished, so other settings lose nothing: --restart is not needed.
            with self._state.transaction():
                self._state["settings"] = settings
                self._state["end"] = 0
        if self._state["end"] and not rows.exists():
            raise BulkFileError(
                f"{rows} is gone, but {self._target.state} is there: put it back, or start over "
                "with --restart"
            )
        self._file = RowFile(rows)
        try:
            self._file.truncate(self._state["end"])
        except BaseException:
            self._file.close()
            raise

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
            BulkFileError: They could not be written. None of them is stored, and further commits
                fail with this error; earlier rows are safe.
            ValueError: One of the rows is stored already.
        """
        with self._lock_for_change():
            self._commit(records)
            self.done += len(records)
            self.errors.update(record.error for record in records if record.error is not None)
            self.generated_tokens += sum(record.generated_tokens or 0 for record in records)

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
        # Read from the state. An attribute would be out of date if a signal handler raised an
        # exception between the commit and its update.
        before: int = self._state["end"]
        rows, end = [], before
        for record in records:
            size = len(record.line)
            rows.append(
                (record.index, end, size, record.error, record.generated_tokens, record.digest)
            )
            end += size
        with self._state.transaction():
            try:
                self._file.write(b"".join(record.line for record in records), before)
                self._state.insert("rows", rows)
                self._state["end"] = end
            except BaseException:
                # Otherwise the output would have a torn line until the next start.
                with suppress(BulkFileError):
                    self._file.truncate(before)
                raise

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
        for page in self._state.read_pages("offset, length"):
            for index, offset, length in page:
                yield index, self._file.read(offset, length)

    def close(self) -> None:
        """Close the files of the output; all committed rows are on the disk."""
        with self._lock:
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


def _check_nothing_is_lost(target: Target, source: Path | None, *, restart: bool) -> None:
    for path in {target.path, target.rows, target.state}:
        if not path.exists():
            continue
        if source is not None and source.exists() and path.samefile(source):
            raise BulkFileError(f"{path} is the input: choose another output")
        if not restart and not target.state.exists() and path.stat().st_size:
            raise BulkFileError(
                f"{path} exists, and is not the output of a run that can be continued: choose "
                "another output, or overwrite it with --restart"
            )


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
