"""The state of an output: which rows are finished, and where their lines are. An SQLite file.

SQLite writes it with a rollback journal and `synchronous=FULL`: a committed transaction is on the
disk. The file stays locked while it is open; the system releases the lock if the process dies.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from hfgen._core.errors import BulkFileError
from hfgen._files.durable import write_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# "hfgb". SQLite and the command `file` show it, so that a foreign file is recognised.
_APPLICATION_ID = 0x68666762
_VERSION = 1
_ROWS = """
CREATE TABLE {name} (
    idx INTEGER PRIMARY KEY,
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL,
    error TEXT,
    generated_tokens INTEGER,
    digest BLOB
)
"""
_META = "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"


class State:
    """The open file, locked.

    Args:
        path: The file, which is created if it does not exist.
        restart: Whether to empty the file, whatever its version is.

    Raises:
        BulkFileError: Another process has locked the file; the file is not a state, or one of a
            newer hfgen; it cannot be written.
    """

    def __init__(self, path: Path, *, restart: bool = False) -> None:
        self._path = path
        with self._translate_errors():
            # No check: any thread may use the connection, one at a time, by the lock of `Store`.
            self._connection = sqlite3.connect(
                path, timeout=0, isolation_level=None, check_same_thread=False
            )
        try:
            self._open(restart=restart)
        except BaseException:
            self._connection.close()
            raise

    def _open(self, *, restart: bool) -> None:
        self.execute("PRAGMA locking_mode = EXCLUSIVE")
        self.execute("PRAGMA synchronous = FULL")
        with self.transaction():
            tables = [name for (name,) in self.execute("SELECT name FROM sqlite_master")]
            [(application,)] = self.execute("PRAGMA application_id")
            [(version,)] = self.execute("PRAGMA user_version")
            if tables and application != _APPLICATION_ID:
                raise BulkFileError(f"{self._path} belongs to another program; move it away")
            if version > _VERSION and not restart:
                raise BulkFileError(
                    f"{self._path} was made by a newer hfgen; use that one, or --restart"
                )
            if restart:
                for name in tables:
                    if not name.startswith("sqlite_"):
                        self.execute(f'DROP TABLE "{name}"')
                tables = []
            if not tables:
                self.create_rows_table("rows")
                self.execute(_META)
                self.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                self.execute(f"PRAGMA user_version = {_VERSION}")

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Execute a statement, and return its rows.

        Raises:
            BulkFileError: The file could not be read or written.
        """
        with self._translate_errors():
            return self._connection.execute(statement, values).fetchall()

    def insert(self, table: str, rows: Any) -> None:
        """Add rows of (idx, offset, length, error, generated_tokens, digest).

        Raises:
            ValueError: The table has a row with the same `idx`.
        """
        with self._translate_errors():
            self._connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?)", rows)  # noqa: S608 - our own names

    def create_rows_table(self, name: str) -> None:
        """Create an empty table of rows."""
        self.execute(_ROWS.format(name=name))

    def __getitem__(self, key: str) -> Any:
        """Return the value of a key of `meta`, None if it has none."""
        found = self.execute("SELECT value FROM meta WHERE key = ?", (key,))
        return json.loads(found[0][0]) if found else None

    def __setitem__(self, key: str, value: Any) -> None:
        self.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

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
        except sqlite3.IntegrityError as error:
            raise ValueError(f"a row is finished already: {error}") from None
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                raise BulkFileError(
                    f"another process is at work on this output ({self._path} is locked)"
                ) from None
            if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
                raise BulkFileError(
                    f"{self._path} is no state of a bulk run, or damaged: {error}; "
                    "move it away, and --restart"
                ) from error
            raise write_error(self._path, str(error)) from error
