"""The report of a run: what it needs is looked for before the run, and not after the night."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hfgen._core.errors import BulkFileError
from hfgen._files.extras import explain_missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Report:
    """A page that is written at the end.

    Args:
        name: Where to.
        others: The run's own files, none of which it may be.

    Attributes:
        path: The same, as a path.
        recorder: To be told of the run while it goes on.

    Raises:
        BulkFileError: What draws it is not installed, or there can be no such file.
    """

    def __init__(self, name: str, others: Iterable[Path]) -> None:
        self.path = Path(name)
        if self.path.resolve() in others:
            raise BulkFileError(f"the report would overwrite {name}: choose another name for it")
        if self.path.is_dir() or not os.access(self.path.absolute().parent, os.W_OK | os.X_OK):
            raise BulkFileError(f"cannot write {name}: there is no folder for it, or no right to")
        with explain_missing("--report", "report"):
            from hfgen._cli.bulk.report.page import page  # noqa: PLC0415 - optional
            from hfgen._cli.bulk.report.recorder import Recorder  # noqa: PLC0415 - as late
        self._page = page
        self.recorder = Recorder()

    def write(self, title: str, facts: Mapping[str, str]) -> None:
        """Write it, in the place of an older one.

        Args:
            title: Its heading.
            facts: What else to say of the run, by name.

        Raises:
            BulkFileError: It cannot be written.
        """
        new = self.path.with_name(f"{self.path.name}.new")
        try:
            # Names of files need not be Unicode.
            page = self._page(self.recorder, title, facts).encode(errors="replace")
            new.write_bytes(page)
            new.replace(self.path)
        except OSError as error:
            new.unlink(missing_ok=True)
            raise BulkFileError(f"cannot write {self.path}: {error.strerror}") from error
