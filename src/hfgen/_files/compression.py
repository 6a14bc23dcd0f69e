"""Compressed files: gzip, and zstd by Python 3.14's own module or its backport."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from hfgen._files.extras import needed_for

if TYPE_CHECKING:
    from types import ModuleType

Opener: TypeAlias = Callable[[BinaryIO, str], Any]
"""Takes a stream of compressed bytes and a mode, gives one of the bytes themselves."""

# What reading torn or foreign bytes raises, beside OSError.
TORN: tuple[type[Exception], ...] = (EOFError, zlib.error)


def _gzip(stream: BinaryIO, mode: str) -> Any:
    # Level 6 is gzip's own default; the module's 9 takes several times as long.
    return gzip.GzipFile(fileobj=stream, mode=mode, compresslevel=6, mtime=0)


def _zstd(stream: BinaryIO, mode: str) -> Any:
    return _zstd_module().ZstdFile(stream, mode)


def _zstd_module() -> ModuleType:
    with needed_for("zstd"):
        if sys.version_info >= (3, 14):
            from compression import zstd  # noqa: PLC0415 - since 3.14
        else:
            from backports import zstd  # noqa: PLC0415 - optional
    return zstd


def is_torn(error: Exception) -> bool:
    """Return whether the error says that compressed bytes end too early, or are none."""
    return isinstance(error, (*TORN, gzip.BadGzipFile)) or type(error).__name__ == "ZstdError"


BY_ENDING: dict[str, Opener] = {"gz": _gzip, "zst": _zstd}
