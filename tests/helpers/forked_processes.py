"""Forked processes for tests to kill: for scripts with a single thread, at little cost."""

import os
import sys
import traceback


def fork(function, *arguments):
    """Call a function in a new process, which exits with 0, or 1 for an error; return the pid."""
    pid = os.fork()
    if pid == 0:
        try:
            function(*arguments)
        except BaseException:  # noqa: BLE001 - it must not get into what is above the fork
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    return pid


def wait_for_exit(pid):
    """Wait for a process; return its exit status, or the negative number of its signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
