"""Rows from text files: plain text (a prompt on each line), JSON Lines, CSV and TSV."""

from __future__ import annotations

import csv
import io
import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from hfgen._core.errors import BulkFileError
from hfgen._core.server_json import DECODE_ERRORS
from hfgen._files.row import Row, UnreadableValue, encode, unreadable_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

# Characters in a field of CSV. Prompts may exceed the limit of the module csv, 131072. There is a
# limit, so that a missing closing quote does not read the rest of the file into memory.
_MAX_FIELD = 1 << 24

_NOT_UTF8 = "not UTF-8"
_SURROGATE = re.compile("[\ud800-\udfff]")

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def count_lines(stream: BinaryIO) -> int:
    """Return how many lines are not blank."""
    return sum(not line.isspace() for line in stream)


def read_text_rows(stream: BinaryIO) -> Iterator[Row]:
    """Yield each line that is not blank as a row whose only column is `inputs`."""
    for index, line in enumerate(_read_lines(stream)):
        try:
            yield Row(index, {"inputs": line.decode()})
        except UnicodeDecodeError:
            yield _unreadable_line(index, line, _NOT_UTF8)


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
        # This checks the syntax of the whole line, also inside the values that are not decoded.
        columns = _decode_object(line)
        line.decode()
        return Row(index, columns)
    except msgspec.ValidationError as error:
        return _unreadable_line(
            index, line, f"not a JSON object: {str(error)[0].lower()}{str(error)[1:]}"
        )
    except DECODE_ERRORS as error:
        try:
            return Row(index, _decode_leniently(line))
        except (ValueError, RecursionError):
            return _unreadable_line(index, line, f"not JSON: {error}")


def _decode_leniently(line: bytes) -> dict[str, Any]:
    """Return the columns of a line that has NaN, half of a surrogate pair, or bytes beside UTF-8.

    Python and JavaScript write such lines. Only the columns with such values are unreadable.

    Raises:
        ValueError: It is not an object for this reader either.
        RecursionError: It is nested too deeply.
    """
    # Surrogates stand for bytes that are not UTF-8. Numbers keep all of their digits.
    columns = json.loads(
        line.decode("utf-8", "surrogateescape"), parse_float=_keep_digits, parse_int=_keep_digits
    )
    if not isinstance(columns, dict):
        raise ValueError("not an object")  # noqa: TRY004 - as what JSON lacks
    decoded = {}
    for name, value in columns.items():
        problems: list[str] = []
        readable = _clean_value(value, problems)
        decoded[_clean_value(name, [])] = (
            UnreadableValue(readable, problems[0]) if problems else msgspec.Raw(encode(readable))
        )
    return decoded


def _keep_digits(number: str) -> msgspec.Raw:
    return msgspec.Raw(number.encode())


def _clean_value(value: Any, problems: list[str]) -> Any:
    """Replace what is not in JSON, and add to `problems` what it is."""
    if isinstance(value, str):
        if _SURROGATE.search(value):
            problems.append("half of a surrogate pair, or bytes that are not UTF-8")
            return _SURROGATE.sub("\ufffd", value)
    elif isinstance(value, float):
        # All other numbers are `Raw`.
        problems.append(f"{value} is not JSON")
        return None
    elif isinstance(value, list):
        return [_clean_value(item, problems) for item in value]
    elif isinstance(value, dict):
        return {
            _clean_value(name, problems): _clean_value(item, problems)
            for name, item in value.items()
        }
    return value


def _unreadable_line(index: int, line: bytes, problem: str) -> Row:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        text = line.decode("utf-8", "replace")
        problem = f"not UTF-8: byte {line[error.start]:#04x} at {error.start} in the line"
    return unreadable_row(index, text, problem)


# The fields of a record, its text, and why it cannot be read.
_Record: TypeAlias = tuple[list[str | UnreadableValue], str, str | None]


class Delimited:
    """Reads records of fields that a delimiter separates (CSV, TSV).

    Args:
        delimiter: The character between two fields.
    """

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter

    def read_rows(self, stream: BinaryIO) -> Iterator[Row]:
        """Yield the records after the first, which names the columns. Blank lines are skipped.

        A column without a name, as spreadsheets add at the end, is `column_N`, its number; it is
        left out of rows in which it is empty.

        Raises:
            BulkFileError: The first record names a column twice, or cannot be read.
        """
        with _decode_lines(stream) as lines:
            records = self._read_records(lines)
            names, unnamed = self._read_names(records)
            for index, (values, text, problem) in enumerate(records):
                if problem is not None:
                    yield unreadable_row(index, text, problem)
                elif len(values) != len(names):
                    yield unreadable_row(
                        index, text, f"it has {len(values)} fields, the first line has {len(names)}"
                    )
                else:
                    columns = dict(zip(names, values, strict=True))
                    for name in unnamed:
                        if not columns[name]:
                            del columns[name]
                    yield Row(index, columns)

    def count_rows(self, stream: BinaryIO) -> int:
        """Return how many records follow the first one.

        Raises:
            BulkFileError: As for `read_rows`.
        """
        with _decode_lines(stream) as lines:
            records = self._read_records(lines)
            self._read_names(records)
            return sum(1 for _ in records)

    def _read_names(self, records: Iterator[_Record]) -> tuple[list[str], list[str]]:
        """Read the first record; return the names of all columns, and those that it lacks."""
        fields, text, problem = next(records, ([], "", None))
        names = [
            field if isinstance(field, str) and field.strip() else f"column_{number}"
            for number, field in enumerate(fields, 1)
        ]
        if any(isinstance(field, UnreadableValue) for field in fields):
            problem = _NOT_UTF8
        elif problem is None and len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            problem = f"it has the column {twice!r} twice"
        if problem is not None:
            raise BulkFileError(f"the first line must name the columns: {problem}: {text[:200]!r}")
        return names, [name for name, field in zip(names, fields, strict=True) if name != field]

    def _read_records(self, lines: Iterable[str]) -> Iterator[_Record]:
        """Yield fields, text and problem of each record that is not blank."""
        csv.field_size_limit(max(csv.field_size_limit(), _MAX_FIELD))
        # The lines of the current record.
        record_lines: list[str] = []
        # Strict: otherwise a missing closing quote makes the rest of the file one field.
        reader = csv.reader(
            _note_lines(lines, record_lines), delimiter=self._delimiter, strict=True
        )
        while True:
            record_lines.clear()
            problem = None
            fields: list[str | UnreadableValue] = []
            try:
                fields = [*next(reader)]
            except StopIteration:
                return
            except csv.Error as error:
                problem = f"not CSV: {error}"
            text = "".join(record_lines)
            if text.isspace():
                continue
            if not text.isascii() and (cleaned := _replace_surrogates(text)) != text:
                text, fields = cleaned, [*map(_check_field, fields)]
            yield fields, text.rstrip("\r\n"), problem


@contextmanager
def _decode_lines(stream: BinaryIO) -> Iterator[io.TextIOWrapper]:
    """Give the lines of the stream, which end at CR, LF or CRLF, and keep these ends.

    Surrogates stand for bytes that are not UTF-8, so that only their field becomes unreadable.
    """
    lines = io.TextIOWrapper(stream, "utf-8", errors="surrogateescape", newline="")
    try:
        yield lines
    finally:
        # Otherwise it closes the stream.
        lines.detach()


def _note_lines(lines: Iterable[str], noted: list[str]) -> Iterator[str]:
    for line in lines:
        noted.append(line)
        yield line


def _check_field(field: Any) -> Any:
    cleaned = _replace_surrogates(field)
    return field if cleaned == field else UnreadableValue(cleaned, _NOT_UTF8)


def _replace_surrogates(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
