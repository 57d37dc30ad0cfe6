"""What a slot's helper leaves when it dies itself: ended by the worker, to which it falls."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Set as AbstractSet
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
MOST_ROUNDS = 200


def adopt_orphans() -> None:
    """Become the parent of every process below this one that loses its own."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children() -> set[int]:
    """List the direct children of this process, the ended ones that wait for us among them."""
    me = os.getpid()
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue  # it has just gone
            if int(fields[1]) == me:
                found.add(int(entry.name))
    return found


def end_orphans(ours: AbstractSet[int]) -> int:
    """End and reap every child but our own helpers; give how many there were.

    Each that ends leaves its own children to us, so this goes on until none is left. A few
    milliseconds, on the rare day that a helper dies.
    """
    ended: set[int] = set()
    for _ in range(MOST_ROUNDS):
        orphans = children() - ours
        if not orphans:
            break
        for pid in orphans:
            ended.add(pid)
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                continue
    return len(ended)
