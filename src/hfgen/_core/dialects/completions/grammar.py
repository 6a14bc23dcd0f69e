"""TGI's `grammar` in the words of other servers. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from hfgen._core.dialects.completions.refusal import unsupported_parameter_error
from hfgen._core.errors import InvalidRequestError
from hfgen._core.request import encode_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from hfgen._core.dialects.server_kind import Kind

_SCHEMAS = frozenset({"json", "json_object", "json_schema"})

_BY_SCHEMA: dict[Kind | None, Callable[[Any], dict[str, Any]]] = {
    "vllm": lambda schema: {"structured_outputs": {"json": schema}},
    # A text, unlike everywhere else.
    "sglang": lambda schema: {"json_schema": encode_json(schema).decode()},
    "llama.cpp": lambda schema: {"json_schema": schema},
}
_BY_REGEX: dict[Kind | None, Callable[[str], dict[str, Any]]] = {
    "vllm": lambda regex: {"structured_outputs": {"regex": regex}},
    "sglang": lambda regex: {"regex": regex},
}


def grammar_fields(asked: Mapping[str, Any], kind: Kind | None) -> dict[str, Any]:
    """Return the fields that ask for the grammar.

    Raises:
        InvalidRequestError: The server is not known to take it, or it is no grammar.
    """
    name, value = asked.get("type"), asked.get("value")
    if name == "regex":
        if not isinstance(value, str):
            raise InvalidRequestError("request.parameters.grammar.value: a regex is a string")
        if kind not in _BY_REGEX:
            other = "use a JSON schema, or " if kind in _BY_SCHEMA else ""
            raise unsupported_parameter_error(
                "grammar", kind, f"{other}leave it out and say it in the prompt"
            )
        return _BY_REGEX[kind](value)
    if name not in _SCHEMAS:
        raise InvalidRequestError(f"request.parameters.grammar.type: there is none named {name!r}")
    if kind not in _BY_SCHEMA:
        raise unsupported_parameter_error("grammar", kind, "leave it out and say it in the prompt")
    return _BY_SCHEMA[kind](_schema(name, value))


def _schema(name: str, value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            raise InvalidRequestError(
                f"request.parameters.grammar.value: the schema is no JSON: {error}"
            ) from None
    # TGI has the schema of this type inside an object, with a name for it.
    if name == "json_schema" and isinstance(value, Mapping):
        value = value.get("schema", value)
    if not isinstance(value, Mapping):
        raise InvalidRequestError(
            "request.parameters.grammar.value: a JSON schema is a mapping, or a string of one"
        )
    return value
