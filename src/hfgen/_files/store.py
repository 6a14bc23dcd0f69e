"""Stores finished rows, so that no row is lost and none is stored twice.

A batch of lines is added to the file of rows and synced; then one transaction notes in the state
where they are, and the end of the file. On the next start, bytes behind that end are cut off, and
their rows are done again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

from hfgen._core.errors import BulkFileError
from hfgen._files.rewrite import finish, rewrite
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
        settings: What makes the run the one that it is, as JSON has it: `input` with the digest of
            the input, the model, the parameters, the template. Not: keys, URLs, limits.
        source: The input's file, which must not be the output.
        restart: Begin anew, whatever is there.

    Attributes:
        done: How many rows are finished, with or without text.
        errors: How many of them have an error, by its type.
        generated_tokens: How many tokens they have together.

    Raises:
        BulkFileError: The output is there without a state; it was begun with other settings, or
            changed since; another process is at work on it; it cannot be written.
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
            self._begin(settings)
        except BaseException:
            self._state.close()
            raise
        self._count()

    def _begin(self, settings: Mapping[str, Any]) -> None:
        rows = self._target.rows
        finish(self._state, rows)
        if self._state.execute("SELECT 1 FROM rows LIMIT 1"):
            _check_same_run(self._target.path, self._state["settings"], settings)
        else:
            # No row is finished, so other settings lose nothing: --restart is not needed.
            with self._state.transaction():
                self._state["settings"] = settings
                self._state["end"] = 0
        if self._state["end"] and not rows.exists():
            raise BulkFileError(
                f"{rows} is gone, but {self._target.state} is there: put it back, or begin anew "
                "with --restart"
            )
        self._file = RowFile(rows)
        try:
            self._file.cut(self._state["end"])
        except BaseException:
            self._file.close()
            raise

    def _count(self) -> None:
        counts = self._state.execute(
            "SELECT error, COUNT(*), TOTAL(generated_tokens) FROM rows GROUP BY error"
        )
        self.done = sum(count for _, count, _ in counts)
        self.errors = Counter({error: count for error, count, _ in counts if error is not None})
        self.generated_tokens = int(sum(tokens for *_, tokens in counts))

    def remaining(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows that are not finished.

        Raises:
            BulkFileError: A row that is finished was another one then, or is not there any more;
                where the input has no digest. What reading them raises.
        """
        finished = self._finished()
        index, digest = next(finished, (None, None))
        for row in rows:
            if row.index != index:
                yield row
                continue
            if digest is not None and digest != row.digest():
                raise self._other_input_error(f"row {index} was another one")
            index, digest = next(finished, (None, None))
        if index is not None:
            raise self._other_input_error(f"it ends before row {index}, which is finished")

    def _finished(self) -> Iterator[tuple[int, bytes | None]]:
        # What is added meanwhile lies behind the place that has been reached.
        pages = self._state.pages("digest")
        while True:
            with self._lock:
                page = next(pages, None)
            if page is None:
                return
            yield from page

    def _other_input_error(self, reason: str) -> BulkFileError:
        return BulkFileError(
            f"{self._target.path} was begun with another input: {reason}. Give it the same one, or "
            "begin anew with --restart"
        )

    def commit(self, records: Sequence[Record]) -> None:
        """Keep finished rows: when it returns they are on the disk.

        Raises:
            BulkFileError: They could not be written. None of them is kept, and the store takes no
                more; what was kept before is safe.
            ValueError: A row among them was finished before.
        """
        with self._changing():
            self._commit(records)
            self.done += len(records)
            self.errors.update(record.error for record in records if record.error is not None)
            self.generated_tokens += sum(record.generated_tokens or 0 for record in records)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            if self._broken is not None:
                raise self._broken
            try:
                yield
            except BulkFileError as error:
                # After a failed sync only a new start can tell what is on the disk.
                self._broken = error
                raise

    def _commit(self, records: Sequence[Record]) -> None:
        # Read from the state, not from an attribute: an interrupt after the commit would leave
        # the attribute behind.
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
                # So that the output has no torn line until the next start.
                with suppress(BulkFileError):
                    self._file.cut(before)
                raise

    def forget_errors(self) -> None:
        """Take the rows that have an error out of the output, so that they remain to be done.

        Raises:
            BulkFileError: The output cannot be rewritten: it is as it was, or will be as it shall
                be on the next start; the store takes no more.
        """
        if self.errors:
            self._rewrite(errors=False)

    def sort(self) -> None:
        """Bring the finished rows into the order of the input, if they are in another.

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
        with self._changing():
            rewrite(self._state, self._file, errors=errors)
            self._count()

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield index and line of each finished row, in the order of the input.

        Raises:
            BulkFileError: The file of rows was changed.
        """
        for page in self._state.pages("offset, length"):
            for index, offset, length in page:
                yield index, self._file.read(offset, length)

    def close(self) -> None:
        """Release the output; all that was committed is on the disk."""
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
                f"{path} is there already, and not the output of a run that could go on: choose "
                "another output, or overwrite it with --restart"
            )


def _check_same_run(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on with other settings than those that the output was begun with.

    Raises:
        BulkFileError: The message names what is different.
    """
    old, new = dict(_flatten(before)), dict(_flatten(now))
    changes = [
        "the input is another one, or was changed"
        if key == "input"
        else f"{key} was {_setting(old, key)}, is {_setting(new, key)}"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
    if changes:
        raise BulkFileError(
            f"{path} was begun differently: {'; '.join(changes)}. Go on as it was begun, choose "
            "another output, or begin anew with --restart"
        )


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        elif value is not None:
            yield prefix + key, json.dumps(value, sort_keys=True)


def _setting(settings: Mapping[str, str], key: str) -> str:
    return settings.get(key, "not given")
