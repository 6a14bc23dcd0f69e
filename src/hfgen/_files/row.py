"""A row of the input: its columns, or the reason why it cannot be read."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import msgspec

from hfgen._core.errors import InvalidRequestError
from hfgen._core.server_json import DECODE_ERRORS

# Parquet has types that JSON and msgspec lack: such values are written as `str(value)`.
encode = msgspec.json.Encoder(enc_hook=str).encode


class Row(msgspec.Struct, frozen=True):
    """A row of any format.

    Attributes:
        index: Its position in the input, from 0.
        columns: The values by name. A `msgspec.Raw` is JSON that is not decoded, and is written to
            the output byte for byte. A row that cannot be read has one column, `row`, with its
            text.
        problem: Why the row cannot be read; None if it can.
    """

    index: int
    columns: dict[str, Any]
    problem: str | None = None

    def value(self, column: str) -> Any:
        """Return the value of a column.

        Raises:
            KeyError: There is no such column.
            InvalidRequestError: The value is JSON that Python cannot represent.
        """
        value = self.columns[column]
        if not isinstance(value, msgspec.Raw):
            return value
        try:
            return msgspec.json.decode(value)
        except DECODE_ERRORS as error:
            raise InvalidRequestError(f"column {column!r} cannot be read: {error}") from None

    def digest(self) -> bytes:
        """Return an 8-byte hash of the columns."""
        return blake2b(encode(self.columns), digest_size=8).digest()


def unreadable_row(index: int, text: str, problem: str) -> Row:
    """Return the row that takes the place of one that cannot be read."""
    return Row(index, {"row": text}, problem)
