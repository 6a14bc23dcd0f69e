"""HTTP headers as a frozen mapping that does not care for case and keeps secrets to itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

# Parts of the names of headers that hold secrets.
_SECRET = re.compile(r"auth|cookie|key|secret|token")


class Headers(Mapping[str, str]):
    """Names in lower case to values; looked up in any case. Later duplicates win."""

    __slots__ = ("_values",)

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._values = {name.lower(): value for name, value in headers.items()}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __or__(self, other: Mapping[str, str]) -> Headers:
        return Headers({**self._values, **Headers(other)._values})

    def __repr__(self) -> str:
        shown = {n: "***" if _SECRET.search(n) else v for n, v in self._values.items()}
        return f"Headers({shown!r})"


NO_HEADERS = Headers({})
