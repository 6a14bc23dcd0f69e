"""From a row to a request."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import TYPE_CHECKING, Any

import msgspec

from hfgen._core.dialects.base import DECODE_ERRORS
from hfgen._core.errors import InvalidRequestError
from hfgen._files.row import encode

if TYPE_CHECKING:
    from hfgen._files.row import Row

_COLUMNS = ("inputs", "prompt")


class Prompt:
    """Makes requests of rows.

    Called with a row it returns the request. The prompt is the template, filled in, or the column
    `inputs`, or else `prompt`. The row's own `parameters` (an object, or the text of one) go over
    those given here, one by one; what is null there is not given: Parquet knows no other way to
    leave one out.

    Args:
        template: Text with names of columns in braces: "Translate: {text}"; `{{` is a brace. What
            is in a column is put in as it is, if it is no text as JSON.
        parameters: Parameters of all requests.

    Raises:
        InvalidRequestError: The template is none.
    """

    def __init__(
        self,
        template: str | None = None,
        *,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self._parts = None if template is None else _parts(template)
        self._parameters = dict(parameters or {})

    def __call__(self, row: Row) -> dict[str, Any]:
        """Return the request for the row.

        Raises:
            InvalidRequestError: There is no prompt in the row, or the row could not be read.
        """
        if row.problem is not None:
            raise InvalidRequestError(row.problem)
        request: dict[str, Any] = {"inputs": self._inputs(row)}
        parameters = {**self._parameters, **_own_parameters(row)}
        if parameters:
            request["parameters"] = parameters
        return request

    def _inputs(self, row: Row) -> str:
        if self._parts is not None:
            return "".join(
                literal + (_text(row, column) if column is not None else "")
                for literal, column in self._parts
            )
        for column in _COLUMNS:
            if column in row.columns:
                value = row.value(column)
                if not isinstance(value, str):
                    raise InvalidRequestError(f"the column `{column}` holds no text: {value!r:.80}")
                return value
        raise InvalidRequestError(
            "no prompt: the row has no column `inputs` or `prompt`; make one of its columns "
            f"({_names(row)}) with a template"
        )


def _parts(template: str) -> list[tuple[str, str | None]]:
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as error:
        raise InvalidRequestError(
            f"the template cannot be read: {error}; a brace of its own is written twice: {{{{"
        ) from None
    for _, column, form, conversion in parsed:
        if column == "" or form or conversion:
            raise InvalidRequestError(
                "in the template only the name of a column may stand in braces (not "
                f"{column!r}, {conversion!r}, {form!r}); a brace of its own is written twice: {{{{"
            )
    return [(literal, column) for literal, column, *_ in parsed]


def _text(row: Row, column: str) -> str:
    if column not in row.columns:
        raise InvalidRequestError(
            f"the template names the column {column!r}, the row has {_names(row)}"
        )
    value = row.value(column)
    if value is None:
        raise InvalidRequestError(f"the template names the column {column!r}, which is null")
    return value if isinstance(value, str) else encode(value).decode()


def _own_parameters(row: Row) -> Mapping[str, Any]:
    value = row.value("parameters") if "parameters" in row.columns else None
    if isinstance(value, str) and value:
        # CSV has text only.
        try:
            value = msgspec.json.decode(value)
        except DECODE_ERRORS as error:
            raise InvalidRequestError(f"the row's `parameters` are no JSON: {error}") from None
    if not value and not isinstance(value, bool):
        return {}
    if not isinstance(value, Mapping):
        raise InvalidRequestError(f"the row's `parameters` are no object: {value!r:.80}")
    return {key: each for key, each in value.items() if each is not None}


def _names(row: Row) -> str:
    return ", ".join(map(repr, row.columns)) or "none"
