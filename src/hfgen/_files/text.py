"""Rows from text files: plain text (a prompt on each line), JSON Lines, CSV and TSV."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import msgspec

from hfgen._core.errors import BulkFileError
from hfgen._core.server_json import DECODE_ERRORS
from hfgen._files.row import Row, unreadable_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

# Characters in a field of CSV. Prompts may exceed the limit of the module csv, 131072. There is a
# limit, so that a missing closing quote does not read the rest of the file into memory.
_MAX_FIELD = 1 << 24

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def count_lines(stream: BinaryIO) -> int:
    """Return how many lines are not blank."""
    return sum(not line.isspace() for line in stream)


def read_text_rows(stream: BinaryIO) -> Iterator[Row]:
    """Yield each line that is not blank as a row whose only column is `inputs`."""
    for index, line in enumerate(_read_lines(stream)):
        try:
            yield Row(index, {"inputs": line.decode()})
        except UnicodeDecodeError as error:
            yield _not_utf8_row(index, line, error)


def read_json_rows(stream: BinaryIO) -> Iterator[Row]:
    """Yield a row for each line that is not blank; its values are not decoded."""
    for index, line in enumerate(_read_lines(stream)):
        yield _parse_json_row(index, line)


def _read_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines that are not blank, without their line ends (LF or CRLF)."""
    for line in stream:
        if not line.isspace():
            yield line.removesuffix(b"\n").removesuffix(b"\r")


def _parse_json_row(index: int, line: bytes) -> Row:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        return _not_utf8_row(index, line, error)
    try:
        # This checks the syntax of the whole line, also inside the values that are not decoded.
        return Row(index, _decode_object(line))
    except msgspec.ValidationError as error:
        problem = f"not a JSON object: {str(error)[0].lower()}{str(error)[1:]}"
    except DECODE_ERRORS as error:
        problem = f"not JSON: {error}"
    return unreadable_row(index, text, problem)


def _not_utf8_row(index: int, line: bytes, error: UnicodeDecodeError) -> Row:
    """Return the row for a line that is not UTF-8."""
    problem = f"not UTF-8: byte {error.object[error.start]:#04x} at {error.start} in the line"
    return unreadable_row(index, line.decode("utf-8", "replace"), problem)


class Delimited:
    """Reads records of fields that a delimiter separates (CSV, TSV).

    Args:
        delimiter: The character between two fields.
    """

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter

    def read_rows(self, stream: BinaryIO) -> Iterator[Row]:
        """Yield the records after the first, which names the columns. Blank lines are skipped.

        Raises:
            BulkFileError: The first record names a column twice, or cannot be read.
        """
        records = self._read_records(stream)
        names, text, problem = next(records, ([], "", None))
        if problem is None and len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            problem = f"it has the column {twice!r} twice"
        if problem is not None:
            raise BulkFileError(f"the first line must name the columns: {problem}: {text[:200]!r}")
        for index, (values, text, problem) in enumerate(records):
            if problem is not None:
                yield unreadable_row(index, text, problem)
            elif len(values) != len(names):
                yield unreadable_row(
                    index, text, f"it has {len(values)} fields, the first line has {len(names)}"
                )
            else:
                yield Row(index, dict(zip(names, values, strict=True)))

    def count_rows(self, stream: BinaryIO) -> int:
        """Return how many records follow the first one."""
        return max(0, sum(1 for _ in self._read_records(stream)) - 1)

    def _read_records(self, stream: BinaryIO) -> Iterator[tuple[list[str], str, str | None]]:
        """Yield fields, text and problem of each record that is not blank."""
        csv.field_size_limit(max(csv.field_size_limit(), _MAX_FIELD))
        # The lines of the current record.
        record_lines: list[str] = []
        # Strict: otherwise a missing closing quote makes the rest of the file one field.
        reader = csv.reader(
            _decode_and_append(stream, record_lines), delimiter=self._delimiter, strict=True
        )
        while True:
            record_lines.clear()
            problem, fields = None, list[str]()
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                problem = f"not CSV: {error}"
            text = "".join(record_lines)
            if text.isspace():
                continue
            if not text.isascii() and (cleaned := _replace_surrogates(text)) != text:
                text, problem = cleaned, "not UTF-8"
            yield fields, text.rstrip("\r\n"), problem


def _decode_and_append(lines: Iterable[bytes], decoded: list[str]) -> Iterator[str]:
    for line in lines:
        # Surrogates stand for bytes that are not UTF-8. Only their record becomes unreadable.
        decoded.append(line.decode("utf-8", "surrogateescape"))
        yield decoded[-1]


def _replace_surrogates(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
