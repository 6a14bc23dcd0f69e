"""The paths of an output, and of the files beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hfgen._core.errors import BulkFileError
from hfgen._files.formats import WRITABLE, Encoding, detect_encoding


@dataclass(frozen=True)
class Target:
    """The output of a run.

    Attributes:
        path: The output. Symbolic links are resolved, so that two names of a file are one output.
        encoding: Its format and compression.
    """

    path: Path
    encoding: Encoding

    @classmethod
    def from_name(cls, name: str, endings: str | None = None) -> Target:
        """Return the output of that name.

        Args:
            name: The path.
            endings: The format, such as "jsonl.gz"; None to take it from the name.

        Raises:
            BulkFileError: The format cannot be written, a package for it is missing, or the path
                cannot be a file.
        """
        if name == "-":
            raise BulkFileError("the output is a file, so that a run can go on: not -")
        encoding = detect_encoding(name, endings=endings, allowed=WRITABLE)
        if encoding.format.name == "txt":
            raise BulkFileError(f"{name}: {encoding} cannot be written; use one of: {WRITABLE}")
        # Before the run: the output may be written only at its end.
        encoding.check_packages()
        path = Path(name).resolve()
        if not path.parent.is_dir():
            raise BulkFileError(f"cannot write {name}: there is no folder {path.parent}")
        if path.exists() and not path.is_file():
            raise BulkFileError(f"cannot write {name}: it is not a regular file")
        return cls(path, encoding)

    @property
    def is_exported(self) -> bool:
        """Whether the output is written at the end of the run, because it cannot be appended to."""
        return self.encoding.format.name != "jsonl" or bool(self.encoding.compression)

    @property
    def rows(self) -> Path:
        """The file of finished rows: `OUTPUT.rows.jsonl` if the output is exported, else itself."""
        return self._add_ending(".rows.jsonl") if self.is_exported else self.path

    @property
    def state(self) -> Path:
        """The file that says which rows are finished: `OUTPUT.state`."""
        return self._add_ending(".state")

    def _add_ending(self, ending: str) -> Path:
        return self.path.with_name(self.path.name + ending)
