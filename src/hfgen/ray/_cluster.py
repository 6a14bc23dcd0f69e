"""The connection of a command to a Ray cluster."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import ray

from hfgen._core.errors import HfgenError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def connected(address: str | None = None, *, workers: int | None = None) -> Iterator[None]:
    """Be connected inside of the context.

    Ray's own display is off, and a Ray that is started here sends no statistics about its use,
    unless the environment wants them (`RAY_USAGE_STATS_ENABLED`).

    Args:
        address: The cluster, as `ray.init` takes it. Default: `RAY_ADDRESS`, else one that is
            started on this machine, and stopped at the end.
        workers: How many workers there will be, for a Ray that is started here.

    Raises:
        HfgenError: There is no connection.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    more = {}
    if address == "local":
        more = {
            "num_cpus": max(os.cpu_count() or 1, workers or 1),
            "include_dashboard": False,
        }
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **more)
    except (OSError, RuntimeError, ValueError) as error:
        raise HfgenError(f"cannot connect to Ray at {address}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()
