"""A process that must not outlive its parent, even where its own code never gives way."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # from Linux's sys/prctl.h


def end_with(parent: int) -> None:
    """Let Linux kill this process when its parent ends; where there is no such system, nothing.

    parent  the process that has started this one; if it is gone already, this one ends at once.
            Linux takes the end of the thread that has started it for the parent's.

    A thread that watches the parent cannot do that: in a long call that keeps Python's lock, such
    as a regular expression or a product of huge numbers, no other thread gets a turn. Processes
    that are forked from this one do not inherit it.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended before
        os._exit(1)
