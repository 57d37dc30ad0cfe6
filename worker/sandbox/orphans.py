"""What a slot's helper leaves when it dies itself: ended by the worker, to which it falls."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

from twisted.internet import process
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
ROUND_S = 0.005
MOST_S = 5.0


def adopt_orphans() -> None:
    """Become the parent of every process below this one that loses its own."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def orphans() -> set[int]:
    """List this process's children that it did not start by the reactor, ended ones among them."""
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
    return found - set(process.reapProcessHandlers)


def end_some() -> int:
    """End every orphan there is now, and reap those that have ended; give how many there were."""
    found = orphans()
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, os.WNOHANG)
        except OSError:  # it has just gone, or is another user's
            continue
    return len(found)


async def end_orphans(clock: IReactorTime) -> bool:
    """End and reap every orphan; False where some would not go within some seconds.

    Each that ends leaves its own children to us, so this goes on until a look finds none. It never
    waits for one: a process in an uninterruptible sleep would hold the reactor.
    """
    until = clock.seconds() + MOST_S
    while end_some():
        if clock.seconds() > until:
            return False
        await deferLater(clock, ROUND_S)
    return True
