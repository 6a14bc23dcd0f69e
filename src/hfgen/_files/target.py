"""The output, and what lies beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hfgen._core.errors import BulkFileError
from hfgen._files.formats import WRITABLE, Encoding, detect_encoding


@dataclass(frozen=True)
class Target:
    """Where results go.

    Attributes:
        path: The output, with links followed: two names of a file are one output.
        encoding: Its format and compression.
    """

    path: Path
    encoding: Encoding

    @property
    def is_exported(self) -> bool:
        """Whether the output is made of the rows at the end, because it cannot be added to."""
        return self.encoding.format.name == "parquet" or bool(self.encoding.compression)

    @property
    def rows(self) -> Path:
        """Where finished rows are kept: the output itself, or `OUTPUT.rows.jsonl`."""
        return self._beside(".rows.jsonl") if self.is_exported else self.path

    @property
    def state(self) -> Path:
        """Where it is kept which rows are finished: `OUTPUT.state`."""
        return self._beside(".state")

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(self.path.name + ending)


def target(name: str, given: str | None = None) -> Target:
    """Return the output of that name.

    Args:
        name: A path.
        given: Its format, as endings, if the name does not say.

    Raises:
        BulkFileError: It is no format that can be written, or no place for a file.
    """
    if name == "-":
        raise BulkFileError("the output is a file, so that a run can go on: not -")
    encoding = detect_encoding(name, given=given, allowed=WRITABLE)
    if encoding.format.name not in {"jsonl", "parquet"}:
        raise BulkFileError(f"{name}: {encoding} is not written; name one: {WRITABLE}")
    path = Path(name).resolve()
    if not path.parent.is_dir():
        raise BulkFileError(f"cannot write {name}: there is no folder {path.parent}")
    if path.exists() and not path.is_file():
        raise BulkFileError(f"cannot write {name}: it is no regular file")
    return Target(path, encoding)
