"""Plain text, a line a prompt, and JSON Lines, an object a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hfgen._core.dialects.base import UNREADABLE
from hfgen._files.row import Row, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def count(stream: BinaryIO) -> int:
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
        return Row(index, _decode(line))
    except msgspec.ValidationError as error:
        problem = f"not a JSON object: {str(error)[0].lower()}{str(error)[1:]}"
    except UNREADABLE as error:
        problem = f"not JSON: {error}"
    return unreadable(index, text, problem)


def _not_utf8(index: int, line: bytes, error: UnicodeDecodeError) -> Row:
    """Return the row that stands for a line that is no text."""
    problem = f"not UTF-8: byte {error.object[error.start]:#04x} at {error.start} in the line"
    return unreadable(index, line.decode("utf-8", "replace"), problem)
