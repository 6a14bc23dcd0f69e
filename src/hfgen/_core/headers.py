"""`Headers`: an immutable mapping that ignores case and hides secrets; and what headers mean."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

# A header whose name contains one of these may hold a secret.
_SECRET = re.compile(r"auth|cookie|key|secret|token")
# Characters of a secret that is hidden in texts: a shorter one may be an ordinary word.
_MIN_SECRET = 8


# Headers that say where a body ends. Without them an answer ends with its connection.
FRAMING_HEADERS = frozenset({"content-length", "transfer-encoding"})


class Headers(Mapping[str, str]):
    """HTTP headers, looked up in any case. Keys are in lower case; of duplicates the last counts.

    The repr shows no values that may be secret.
    """

    __slots__ = ("_values",)

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._values: dict[str, str] = (
            headers._values  # noqa: SLF001 - of the same class; shared, since it never changes
            if isinstance(headers, Headers)
            else {name.lower(): value for name, value in headers.items()}
        )

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def get(self, name: str, default: Any = None) -> Any:
        # Faster than `Mapping.get`, which raises and catches KeyError for a missing name.
        return self._values.get(name.lower(), default)

    def __or__(self, other: Mapping[str, str]) -> Headers:
        return Headers({**self._values, **Headers(other)._values})

    def __repr__(self) -> str:
        shown = {n: "***" if _SECRET.search(n) else v for n, v in self._values.items()}
        return f"Headers({shown!r})"


def find_secrets(headers: Mapping[str, str]) -> list[str]:
    """Return the values of headers that may be secret, without the scheme of `authorization`."""
    values = {n: v for n, v in Headers(headers).items() if _SECRET.search(n)}
    if "authorization" in values:
        values["authorization"] = values["authorization"].rpartition(" ")[2]
    return [value for value in values.values() if len(value) >= _MIN_SECRET]


NO_HEADERS = Headers({})


def parse_retry_after(headers: Headers, received: float | None = None) -> float | None:
    """Return the seconds that a server asks to wait before the next attempt, None if it does not.

    Args:
        headers: The headers of the server's answer.
        received: When they came, in seconds since 1970, for an answer without a `Date`.

    The first of these counts: `retry-after-ms`; `Retry-After` in seconds (also with a fraction);
    `Retry-After` as a date, which counts from the `Date` of the answer; the `t=` of `RateLimit` if
    no request is left (`r=0`;
    https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/).
    """
    milliseconds = _parse_number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    retry_after = headers.get("retry-after")
    if (seconds := _parse_number(retry_after)) is not None:
        return seconds
    if (until := _parse_date(retry_after)) is not None:
        sent = _parse_date(headers.get("date")) or received
        return None if sent is None else max(0.0, until - sent)
    limit = headers.get("ratelimit", "")
    if re.search(r"\br=0\b", limit) and (reset := re.search(r"\bt=(\d+)", limit)):
        return float(reset[1])
    return None


def _parse_number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return None if math.isnan(number) else max(0.0, number)


def _parse_date(text: str | None) -> float | None:
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - slow to import, rarely needed

    try:
        return parsedate_to_datetime(text or "").timestamp()
    except (ValueError, OverflowError):
        return None


def media_type(headers: Headers) -> str:
    """Return the media type in `content-type`, in lower case and without its parameters."""
    kind: str = headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower()
