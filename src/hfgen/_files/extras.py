"""Optional packages: the error that says which extra installs a missing one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from hfgen._core.errors import BulkFileError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def explain_missing(purpose: str, extra: str = "bulk") -> Iterator[None]:
    """Raise an error that says what to install if an import in the block fails.

    Args:
        purpose: What needs the module, for the message.
        extra: The extra of hfgen that installs it.

    Raises:
        BulkFileError: A module is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise BulkFileError(f"{purpose} needs {error.name}: pip install 'hfgen[{extra}]'") from None
