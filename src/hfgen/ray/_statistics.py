"""The statistics of all workers, as those of one. No I/O."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from hfgen._bulk.results import BulkStatistics, ServerStatistics

if TYPE_CHECKING:
    from collections.abc import Iterable


def together(each: Iterable[BulkStatistics]) -> BulkStatistics:
    """Return the sum; a server rests if all workers let it."""
    whole = BulkStatistics()
    servers: dict[str, ServerStatistics] = {}
    for one in each:
        _add(one, whole)
        whole.errors.update(one.errors)
        for server in one.servers:
            known = servers.setdefault(server.url, ServerStatistics(server.url, rests=True))
            _add(server, known)
            known.rests = known.rests and server.rests
    whole.servers = list(servers.values())
    return whole


def _add(one: Any, whole: Any) -> None:
    for field in fields(one):
        if field.type == "int":
            setattr(whole, field.name, getattr(whole, field.name) + getattr(one, field.name))
