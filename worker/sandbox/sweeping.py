"""Ending what is below the slot's helper, and its usage. Loaded by path: standard library only."""

from __future__ import annotations

import os
import select
import signal
import time

FALSE: bool = False
if FALSE:  # for the type checker alone: what the helper has loaded shows in what tasks use
    from resource import struct_rusage


DEPTH = 32
"""How far up a process's parents are followed; as those above it end, it comes nearer."""


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


def parent_of(pid: int) -> int:
    """Give a process's parent. Raises OSError: it was reaped."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[1])


def children_of(parents: set[int]) -> list[int]:
    """List all living descendants of some processes, by /proc."""
    table = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                table.append((int(name), parent_of(int(name))))
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


def below_us(pid: int) -> bool:
    """Whether a process is this one's descendant, not too far down. Raises OSError as parent_of."""
    me = os.getpid()
    for _ in range(DEPTH):
        pid = parent_of(pid)
        if pid <= 1 or pid == me:
            break
    return pid == me


def end(pid: int) -> None:
    """Send SIGKILL to a process if it is below this one.

    Its own parent may have reaped it since it was listed, and a stranger may have its number: so it
    is held first, and then looked at.

    Raises:
        OSError: it has just gone, or is another user's (EPERM).
    """
    held = os.pidfd_open(pid)
    try:
        if below_us(pid):
            signal.pidfd_send_signal(held, signal.SIGKILL)
    finally:
        os.close(held)


def sweep(seconds: float, usage: Usage) -> bool:
    """End and reap every process below this one; False if some would not go in time."""
    until = time.monotonic() + seconds
    while reap(usage):
        for pid in children_of({os.getpid()}):
            try:
                end(pid)
            except OSError:
                continue
        if time.monotonic() > until:
            return False
        select.select([], [], [], 0.001)
    return True
