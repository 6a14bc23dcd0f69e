"""What a round may leave behind: nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FILES = Path("/proc/self/fd")
_PATIENCE = 15.0


class Leftovers:
    """Notes the open files and the threads when it is made, and tells later what is more."""

    def __init__(self) -> None:
        gc.collect()
        self._files = open_files()
        self._threads = set(threading.enumerate())

    def check(self) -> None:
        """Wait until there are no more than there were.

        Raises:
            AssertionError: Some stay.
        """
        # What is dropped and not closed warns here, which fails the test.
        gc.collect()
        # The watchdog's thread stays a while for the next call.
        wait_for(lambda: not self._more_threads(), lambda: f"threads: {self._more_threads()}")
        wait_for(lambda: not self._more_files(), lambda: f"open files: {self._more_files()}")

    def _more_threads(self) -> set[threading.Thread]:
        return set(threading.enumerate()) - self._threads

    def _more_files(self) -> dict[str, str]:
        return {fd: name for fd, name in open_files().items() if self._files.get(fd) != name}


def open_files() -> dict[str, str]:
    """Return the open files by their numbers, where the system tells; sockets have names too."""
    found = {}
    for file in _FILES.iterdir() if _FILES.exists() else ():
        # One was for the list, and is closed again.
        with contextlib.suppress(FileNotFoundError):
            found[file.name] = str(file.readlink())
    return found


@contextlib.contextmanager
def fail_on_unraised() -> Iterator[None]:
    """See to it that no error is left that nobody could be told, as of a socket that was dropped.

    Raises:
        AssertionError: There are some.
    """
    said: list[str] = []
    hooks = sys.unraisablehook, threading.excepthook
    sys.unraisablehook = lambda what: said.append(f"{what.exc_value!r} in {what.object!r}")
    threading.excepthook = lambda what: said.append(f"{what.exc_value!r} in {what.thread!r}")
    try:
        yield
    finally:
        sys.unraisablehook, threading.excepthook = hooks
    assert not said, said


async def check_tasks() -> None:
    """Wait until the running loop has no task but this one.

    Raises:
        AssertionError: Some stay.
    """
    ends = time.monotonic() + _PATIENCE
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        assert time.monotonic() < ends, f"tasks: {others}"
        await asyncio.sleep(0.02)


def wait_for(is_so: Callable[[], bool], what_else: Callable[[], str]) -> None:
    """Wait until it is so.

    Raises:
        AssertionError: It does not become so; it says what is instead.
    """
    ends = time.monotonic() + _PATIENCE
    while not is_so():
        assert time.monotonic() < ends, what_else()
        time.sleep(0.02)
