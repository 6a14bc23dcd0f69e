"""About how much memory rows and answers take. Pure."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hfgen._core.answers import GeneratedText

# Objects that are looked at in a value. A row with more of them, such as a vector of numbers,
# counts as less than it has; looking at all of them would take longer than sending the row.
_MAX_OBJECTS = 1000
# Types of values that hold no others.
_PLAIN = frozenset({str, bytes, int, float, bool, type(None)})
# What an answer has besides its text, and what each of its tokens has.
_BYTES_PER_ANSWER, _BYTES_PER_TOKEN = 512, 256


def measure_bytes(*values: Any) -> int:
    """Return about how many bytes these values have in memory, with what they hold.

    It looks into dicts, lists, tuples, dataclasses and msgspec's structs. An object that occurs
    several times counts once.
    """
    total = 0
    pending, seen = list(values), set[int]()
    while pending and len(seen) < _MAX_OBJECTS:
        value = pending.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, msgspec.Raw):
            # `sys.getsizeof` returns any number for it (msgspec 0.20).
            total += memoryview(value).nbytes
            continue
        total += sys.getsizeof(value, 0)
        if type(value) not in _PLAIN:
            pending.extend(_list_parts(value))
    return total


def measure_answers(answers: list[GeneratedText]) -> int:
    """Return about how many bytes these answers have in memory."""
    total = 0
    for answer in answers:
        tokens = answer.details.tokens if answer.details else ()
        total += sys.getsizeof(answer.generated_text) + _BYTES_PER_ANSWER
        total += len(tokens) * _BYTES_PER_TOKEN
    return total


def _list_parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return dict.values(value)
    if isinstance(value, list | tuple):
        return value[:_MAX_OBJECTS]
    if isinstance(value, type):
        return ()
    names: Iterable[str] = getattr(value, "__struct_fields__", ())
    names = names or getattr(value, "__dataclass_fields__", ())
    return [getattr(value, name, None) for name in names]
