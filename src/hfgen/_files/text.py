"""Rows from text files: plain text (a prompt on each line), JSON Lines, CSV and TSV."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import msgspec

from hfgen._core.dialects.base import DECODE_ERRORS
from hfgen._core.errors import BulkFileError
from hfgen._files.row import Row, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

# Fields may be as long as prompts, and the module's own limit is 131072 characters. But a quote
# without its end shall not put the rest of the file into memory.
_LONGEST_FIELD = 1 << 24

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def count_lines(stream: BinaryIO) -> int:
    """Return how many lines are not blank."""
    return sum(not line.isspace() for line in stream)


def text_rows(stream: BinaryIO) -> Iterator[Row]:
    """Yield each line that is not blank as a row whose only column is `inputs`."""
    for index, line in enumerate(_lines(stream)):
        try:
            yield Row(index, {"inputs": line.decode()})
        except UnicodeDecodeError as error:
            yield _not_utf8(index, line, error)


def json_rows(stream: BinaryIO) -> Iterator[Row]:
    """Yield each line that is not blank, with its values as they were written."""
    for index, line in enumerate(_lines(stream)):
        yield _json_row(index, line)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines that are not blank, without their ends (LF, or CRLF)."""
    for line in stream:
        if not line.isspace():
            yield line.removesuffix(b"\n").removesuffix(b"\r")


def _json_row(index: int, line: bytes) -> Row:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        return _not_utf8(index, line, error)
    try:
        # Checked whole: below the first level it is left as it is, and it shall be JSON there too.
        return Row(index, _decode_object(line))
    except msgspec.ValidationError as error:
        problem = f"not a JSON object: {str(error)[0].lower()}{str(error)[1:]}"
    except DECODE_ERRORS as error:
        problem = f"not JSON: {error}"
    return unreadable(index, text, problem)


def _not_utf8(index: int, line: bytes, error: UnicodeDecodeError) -> Row:
    """Return the row that stands for a line that is no text."""
    problem = f"not UTF-8: byte {error.object[error.start]:#04x} at {error.start} in the line"
    return unreadable(index, line.decode("utf-8", "replace"), problem)


class Delimited:
    """How to read values that are divided by `delimiter`."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter

    def rows(self, stream: BinaryIO) -> Iterator[Row]:
        """Yield the records after the first, which names the columns; blank lines are skipped.

        Raises:
            BulkFileError: The first record names a column twice, or cannot be read.
        """
        records = self._records(stream)
        names, text, problem = next(records, ([], "", None))
        if problem is None and len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            problem = f"it names the column {twice!r} twice"
        if problem is not None:
            raise BulkFileError(f"the first line shall name the columns: {problem}: {text[:200]!r}")
        for index, (values, text, problem) in enumerate(records):
            if problem is not None:
                yield unreadable(index, text, problem)
            elif len(values) != len(names):
                yield unreadable(
                    index, text, f"it has {len(values)} fields, the first line {len(names)}"
                )
            else:
                yield Row(index, dict(zip(names, values, strict=True)))

    def count(self, stream: BinaryIO) -> int:
        """Return how many records follow the first."""
        return max(0, sum(1 for _ in self._records(stream)) - 1)

    def _records(self, stream: BinaryIO) -> Iterator[tuple[list[str], str, str | None]]:
        """Yield fields, text and problem of each record that is not blank."""
        csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
        taken: list[str] = []
        # Strict: a quote without its end would swallow the rest without a word.
        reader = csv.reader(_decode_and_keep(stream, taken), delimiter=self._delimiter, strict=True)
        while True:
            taken.clear()
            problem, fields = None, list[str]()
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                problem = f"not CSV: {error}"
            text = "".join(taken)
            if text.isspace():
                continue
            if not text.isascii() and (cleaned := _without_surrogates(text)) != text:
                text, problem = cleaned, "not UTF-8"
            yield fields, text.rstrip("\r\n"), problem


def _decode_and_keep(lines: Iterable[bytes], taken: list[str]) -> Iterator[str]:
    for line in lines:
        # A byte that is no UTF-8 spoils its own record only, so it must get through.
        taken.append(line.decode("utf-8", "surrogateescape"))
        yield taken[-1]


def _without_surrogates(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
