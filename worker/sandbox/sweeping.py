"""Ending every process below the slot's helper. Loaded by path: standard library only."""

from __future__ import annotations

import os
import select
import signal
import time


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


def sweep(seconds: float) -> bool:
    """End and reap every process below this one; False if some would not go in time."""
    until = time.monotonic() + seconds
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        for pid in children_of({os.getpid()}):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:  # it has just gone, or is another user's (EPERM)
                continue
        if time.monotonic() > until:
            return False
        select.select([], [], [], 0.001)
