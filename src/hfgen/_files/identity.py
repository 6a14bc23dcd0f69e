"""Whether a run that is started again is the one that was begun."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hfgen._core.errors import BulkFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INPUT = "input"
"""The key under which the digest of the input is; None for an input that is read once."""


def check(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on with other settings than those that the output was begun with.

    Raises:
        BulkFileError: The message names what is different.
    """
    old, new = dict(_flat(before)), dict(_flat(now))
    changes = [
        "the input is another one, or was changed"
        if key == INPUT
        else f"{key} was {_shown(old, key)}, is {_shown(new, key)}"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
    if changes:
        raise BulkFileError(
            f"{path} was begun differently: {'; '.join(changes)}. Go on as it was begun, choose "
            "another output, or begin anew with --restart"
        )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif value is not None:
            yield prefix + key, json.dumps(value, sort_keys=True)


def _shown(settings: Mapping[str, str], key: str) -> str:
    return settings.get(key, "not given")
