"""Killing what is in a group by its list of processes, where the kernel has no cgroup.kill."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

ROUNDS = 3
AT_ONCE = 64  # descriptors held at a time


def kill_listed(listed: Callable[[], list[int]]) -> None:
    """Send SIGKILL to the processes that `listed` gives, in a few rounds; never to this one or 1.

    A process may end and its number be taken by a stranger between the list and the signal, so each
    is held by a pidfd and looked up in the list again before it is sent.
    """
    for _ in range(ROUNDS):
        found = [pid for pid in listed() if pid > 1 and pid != os.getpid()]
        if not found:
            return
        for start in range(0, len(found), AT_ONCE):
            _kill(found[start : start + AT_ONCE], listed)


def _kill(found: list[int], listed: Callable[[], list[int]]) -> None:
    held: dict[int, int] = {}
    try:
        for pid in found:
            try:
                held[pid] = os.pidfd_open(pid)
            except OSError:
                continue  # it is gone, or not ours to hold
        still = set(listed())
        for pid in still & set(held):
            try:
                signal.pidfd_send_signal(held[pid], signal.SIGKILL)
            except OSError:
                continue
    finally:
        for fd in held.values():
            os.close(fd)
