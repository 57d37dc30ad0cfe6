"""Ending what is below the slot's helper, and its usage. Loaded by path: standard library only."""

from __future__ import annotations

import os
import select
import signal
import time

FALSE: bool = False
if FALSE:  # for the type checker alone: what the helper has loaded shows in what tasks use
    from resource import struct_rusage


class Usage:
    """What the processes used that were reaped, and all that these had waited for themselves.

    Attributes:
        cpu_s: Processor time of all of them, user's and system's.
        max_rss_bytes: The most memory that one of them had.
    """

    def __init__(self) -> None:
        self.cpu_s = 0.0
        self.max_rss_bytes = 0

    def add(self, used: struct_rusage) -> None:
        """Count one more, by what `os.wait4` says of it."""
        self.cpu_s += used.ru_utime + used.ru_stime
        self.max_rss_bytes = max(self.max_rss_bytes, used.ru_maxrss * 1024)


def waited_for_s(pid: int) -> float:
    """Give the processor time of those that a process waited for, in ticks; it may have ended.

    Raises:
        OSError: it was reaped.
    """
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def reap(usage: Usage) -> bool:
    """Reap every child that has ended; False when there is no child left, ended or not."""
    try:
        while True:
            pid, _, used = os.wait4(-1, os.WNOHANG)
            if not pid:
                return True
            usage.add(used)
    except ChildProcessError:
        return False


def children_of(parents: set[int]) -> list[int]:
    """List all living descendants of some processes, by /proc."""
    table = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
                table.append((int(name), int(fields[1])))
            except OSError:
                continue
    found = set(parents)
    grown = True
    while grown:
        grown = False
        for pid, parent in table:
            if parent in found and pid not in found:
                found.add(pid)
                grown = True
    return list(found - parents)


def sweep(seconds: float, usage: Usage) -> bool:
    """End and reap every process below this one; False if some would not go in time."""
    until = time.monotonic() + seconds
    while reap(usage):
        for pid in children_of({os.getpid()}):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:  # it has just gone, or is another user's (EPERM)
                continue
        if time.monotonic() > until:
            return False
        select.select([], [], [], 0.001)
    return True
