"""Checks that a round leaves no open files, threads, tasks or unseen errors."""

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
    """Records the open files and the threads when it is made, and compares them later."""

    def __init__(self) -> None:
        gc.collect()
        self._files = open_files()
        self._threads = set(threading.enumerate())

    def check(self) -> None:
        """Wait until there are no more files and threads than at first.

        Raises:
            AssertionError: Some stay.
        """
        # An object that was dropped without being closed warns here, and the test fails.
        gc.collect()
        # The thread that checks deadlines stays a while for the next call.
        wait_for(lambda: not self._more_threads(), lambda: f"threads: {self._more_threads()}")
        wait_for(lambda: not self._more_files(), lambda: f"open files: {self._more_files()}")

    def _more_threads(self) -> set[threading.Thread]:
        return set(threading.enumerate()) - self._threads

    def _more_files(self) -> dict[str, str]:
        return {fd: name for fd, name in open_files().items() if self._files.get(fd) != name}


def open_files() -> dict[str, str]:
    """Return the names of open files and sockets by number, where the system lists them."""
    names = {}
    for file in _FILES.iterdir() if _FILES.exists() else ():
        # The file that was open for the listing is closed again.
        with contextlib.suppress(FileNotFoundError):
            names[file.name] = str(file.readlink())
    return names


@contextlib.contextmanager
def fail_on_unraised() -> Iterator[None]:
    """Fail if an error could not be raised to a caller, as when a socket is dropped.

    Raises:
        AssertionError: There are some.
    """
    errors: list[str] = []
    hooks = sys.unraisablehook, threading.excepthook
    sys.unraisablehook = lambda args: errors.append(f"{args.exc_value!r} in {args.object!r}")
    threading.excepthook = lambda args: errors.append(f"{args.exc_value!r} in {args.thread!r}")
    try:
        yield
    finally:
        sys.unraisablehook, threading.excepthook = hooks
    assert not errors, errors


async def check_tasks() -> None:
    """Wait until the running loop has no task but this one.

    Raises:
        AssertionError: Some stay.
    """
    deadline = time.monotonic() + _PATIENCE
    while other_tasks := asyncio.all_tasks() - {asyncio.current_task()}:
        assert time.monotonic() < deadline, f"tasks: {other_tasks}"
        await asyncio.sleep(0.02)


def wait_for(condition: Callable[[], bool], describe: Callable[[], str]) -> None:
    """Wait until the condition holds.

    Raises:
        AssertionError: It does not hold in time; `describe` returns the message.
    """
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline, describe()
        time.sleep(0.02)
