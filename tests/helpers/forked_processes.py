"""Processes to be killed, at little cost: for scripts that tests start, which have one thread."""

import os
import sys
import traceback


def forked(function, *arguments):
    """Call it in a process of its own, which ends with 0, or with 1 for an error; the pid."""
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


def ended(pid):
    """How the process ended: its status, or the negative number of the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
