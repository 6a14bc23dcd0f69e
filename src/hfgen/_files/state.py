"""The state of an output: which rows are finished, and where their lines are. An SQLite file.

SQLite writes it with a rollback journal and `synchronous=FULL`: a committed transaction is on the
disk. The file stays locked while it is open; the system releases the lock if the process dies.
Nothing that is read from the file is trusted: it is checked when it is opened.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from hfgen._core.errors import BulkFileError
from hfgen._core.server_json import DECODE_ERRORS
from hfgen._files.durable import check_in_place, translate_write_errors, write_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# "hfgb". SQLite and the command `file` show it, so that a foreign file is recognised.
_APPLICATION_ID = 0x68666762
_VERSION = 2
# The errors of SQLite that come from the disk. All others come from what the file contains.
_WRITE_ERRORS = frozenset(
    {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_TOOBIG,
    }
)
# How a journal of SQLite begins. The first bytes are zeros until the journal is synced.
_JOURNAL_STARTS = (b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", bytes(8))
_ROWS = """
CREATE TABLE {name} (
    idx INTEGER PRIMARY KEY,
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    error TEXT,
    generated_tokens INTEGER,
    digest BLOB
)
"""
# Values of wrong types, and how many bytes the lines have together and at most behind the start.
_TOTALS = """
SELECT TOTAL(length), MAX(offset + length), TOTAL(
    idx < 0 OR offset < 0 OR length <= 0
    OR typeof(offset) <> 'integer' OR typeof(length) <> 'integer' OR typeof(crc) <> 'integer'
    OR typeof(error) NOT IN ('null', 'text') OR typeof(digest) NOT IN ('null', 'blob')
    OR typeof(generated_tokens) NOT IN ('null', 'integer')
) FROM rows
"""
_META = "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"


_Size = Annotated[int, msgspec.Meta(ge=0)]
# What `choose_scratch_path` makes: a file of another name is never removed.
_ScratchName = Annotated[str, msgspec.Meta(pattern=r"^[^/\\]+\.[0-9a-f]{8}\.tmp$")]


class PendingRewrite(msgspec.Struct):
    """A rewrite of the file of rows that may not be complete.

    Attributes:
        file: The name of the new file.
        end: Its size in bytes.
        digest: Its `compute_digest`.
    """

    file: _ScratchName
    end: _Size
    digest: str


# The values of `meta`: their types, and what they are at first.
_VALUES: dict[str, tuple[Any, Any]] = {
    # What `Store` was opened with when the first row was finished.
    "settings": (dict[str, Any], {}),
    # How many bytes the lines of all finished rows have.
    "end": (_Size, 0),
    "pending": (PendingRewrite | None, None),
    # The name of a temporary file, which the next start removes.
    "scratch": (_ScratchName | None, None),
    # The digests that an exported output may have: it was written by a run, or may be overwritten.
    "exported": (list[str], []),
    # Whether the file of rows is to be emptied, because of --restart.
    "restarting": (bool, False),
}


class State:
    """The open file, locked.

    Args:
        path: The file, which is created if it does not exist.
        restart: Whether to empty the file, whatever its version is.

    Raises:
        BulkFileError: Another process has locked the file; the file is not a state, is damaged, or
            is one of another version of hfgen; it cannot be written; beside it lies a file of
            another program that SQLite would take for its own.
    """

    def __init__(self, path: Path, *, restart: bool = False) -> None:
        self._path = path
        _check_side_files(path)
        with self._translate_errors():
            # No check: any thread may use the connection, one at a time, by the lock of `Store`.
            self._connection = sqlite3.connect(
                path, timeout=0, isolation_level=None, check_same_thread=False
            )
        try:
            self._open(restart=restart)
            self._opened = path.stat()
        except BaseException:
            self._connection.close()
            raise

    def _open(self, *, restart: bool) -> None:
        self.execute("PRAGMA locking_mode = EXCLUSIVE")
        self.execute("PRAGMA synchronous = FULL")
        with self.transaction():
            tables = [
                name
                for (name,) in self.execute(
                    "SELECT name FROM sqlite_master"
                    " WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
                )
            ]
            [(application,)] = self.execute("PRAGMA application_id")
            [(version,)] = self.execute("PRAGMA user_version")
            if tables and application != _APPLICATION_ID:
                raise BulkFileError(f"{self._path} belongs to another program; move it away")
            if tables and not restart:
                if version != _VERSION:
                    raise BulkFileError(
                        f"{self._path} was made by another version of hfgen; use that one, or "
                        "--restart"
                    )
                self._check()
                return
            scratch = None
            if tables and version == _VERSION:
                with suppress(BulkFileError):
                    scratch = self["scratch"]
            for name in tables:
                self.execute(f'DROP TABLE "{name}"')
            self.create_rows_table("rows")
            self.execute(_META)
            for key, (_, value) in _VALUES.items():
                self[key] = value
            self["scratch"], self["restarting"] = scratch, restart
            self.set_tail(b"")
            self.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            self.execute(f"PRAGMA user_version = {_VERSION}")

    def _check(self) -> None:
        """Check that the file has what `Store` wrote, in the right types.

        Raises:
            BulkFileError: It has not.
        """
        for (problem,) in self.execute("PRAGMA quick_check(1)"):
            if problem != "ok":
                raise self._damaged_error(problem)
        for key in _VALUES:
            _ = self[key]
        self.read_tail()
        [(size, end, wrong_rows)] = self.execute(_TOTALS)
        if wrong_rows or not size == (end or 0) == self["end"]:
            raise self._damaged_error("its numbers do not fit together")

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Execute a statement, and return its rows.

        Raises:
            BulkFileError: The file could not be read or written.
        """
        with self._translate_errors():
            return self._connection.execute(statement, values).fetchall()

    def insert(self, table: str, rows: Any) -> None:
        """Add rows of (idx, offset, length, crc, error, generated_tokens, digest).

        Raises:
            ValueError: The table has a row with the same `idx`.
        """
        with self._translate_errors():
            try:
                self._connection.executemany(
                    f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - our own names
                    rows,
                )
            except sqlite3.IntegrityError as error:
                raise ValueError(f"a row is finished already: {error}") from None

    def create_rows_table(self, name: str) -> None:
        """Create an empty table of rows."""
        self.execute(_ROWS.format(name=name))

    def __getitem__(self, key: str) -> Any:
        """Return the value of a key of `_VALUES`.

        Raises:
            BulkFileError: It is missing, or has another type.
        """
        try:
            return msgspec.json.decode(self._read_value(key), type=_VALUES[key][0])
        except DECODE_ERRORS as error:
            raise self._damaged_error(f"{key}: {error}") from error

    def __setitem__(self, key: str, value: Any) -> None:
        self._write_value(key, msgspec.json.encode(value))

    def read_tail(self) -> bytes:
        """Return the last lines of the file of rows, which may not have been written there yet."""
        return self._read_value("tail")

    def set_tail(self, data: bytes) -> None:
        """Set what `read_tail` returns."""
        self._write_value("tail", data)

    def _read_value(self, key: str) -> bytes:
        found = self.execute("SELECT value FROM meta WHERE key = ?", (key,))
        if not found or not isinstance(found[0][0], bytes):
            raise self._damaged_error(f"it has no {key}")
        return found[0][0]

    def _write_value(self, key: str, data: bytes) -> None:
        self.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, data))

    def check_in_place(self) -> None:
        """Check that the path still names this file.

        Raises:
            BulkFileError: It does not.
        """
        check_in_place(self._path, self._opened)

    def read_pages(self, columns: str, size: int = 1024) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows in the order of `idx`, in pages. A row is `idx` and the named columns."""
        last = -1
        while True:
            page = self.execute(
                f"SELECT idx, {columns} FROM rows WHERE idx > ? ORDER BY idx LIMIT {size}",  # noqa: S608 - our own names
                (last,),
            )
            if page:
                yield page
            if len(page) < size:
                return
            last = page[-1][0]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit the statements of the block together, or none of them.

        Raises:
            BulkFileError: The commit failed; then nothing has changed.
        """
        self.execute("BEGIN EXCLUSIVE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                # After some errors, SQLite has rolled back already.
                self._connection.rollback()
            raise

    def close(self) -> None:
        """Close the file, which releases its lock."""
        self._connection.close()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                raise BulkFileError(
                    f"another process is at work on this output ({self._path} is locked)"
                ) from None
            if code in _WRITE_ERRORS:
                raise write_error(self._path, str(error)) from error
            raise self._damaged_error(str(error)) from error
        except UnicodeDecodeError as error:
            # In a message of SQLite that shows a part of the file.
            raise self._damaged_error(str(error)) from error

    def _damaged_error(self, reason: str) -> BulkFileError:
        return BulkFileError(
            f"{self._path} is no state of a bulk run, or damaged: {reason}. Put it back as it was; "
            "or move it and the output away, and start again"
        )


def side_files(path: Path) -> tuple[Path, Path]:
    """Return the files beside a state that SQLite takes for its journal and its log."""
    journal, log = (path.with_name(path.name + ending) for ending in ("-journal", "-wal"))
    return journal, log


def _check_side_files(path: Path) -> None:
    """Check that SQLite will not take a file of another program for its journal or its log.

    It would remove that file. `State` has a journal while it is open, and never a log.

    Raises:
        BulkFileError: There is such a file.
    """
    journal, log = side_files(path)
    start = b""
    if journal.exists():
        with translate_write_errors(journal), journal.open("rb") as file:
            start = file.read(len(_JOURNAL_STARTS[0]))
    is_journal = any(known.startswith(start) for known in _JOURNAL_STARTS)
    if log.exists() or not is_journal:
        raise BulkFileError(
            f"{journal if not is_journal else log} belongs to another program; move it away"
        )
