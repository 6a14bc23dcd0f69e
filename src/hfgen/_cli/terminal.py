"""Standard streams whose reader has gone."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator


def discard(stream: TextIO) -> None:
    """Let all that is written to the stream from now on go nowhere, and what it still holds.

    Otherwise the interpreter would complain at exit.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def heard_or_not() -> Iterator[None]:
    """Write to standard error inside of the context; go on if nobody reads it."""
    try:
        yield
    except OSError:
        if sys.stderr is not None:
            discard(sys.stderr)
