"""Finding out by doing which controllers work: in the janitor, before it serves.

It forks and waits, so it is never called in a process with a reactor or threads.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING or __name__.startswith("runyard."):
    from runyard.worker.sandbox.cgroups import files, finding
    from runyard.worker.sandbox.cgroups.group import Counters, SlotGroup
    from runyard.worker.sandbox.cgroups.where import CORE, Base
else:
    from cgroups import files, finding
    from cgroups.group import Counters, SlotGroup
    from cgroups.where import CORE, Base

LIMIT_BYTES = 64 * 1024 * 1024
TOUCHED_BYTES = 8 * 1024 * 1024
CORES = 0.5
SPUN_S = 0.005
CANARY_S = 10
REMOVE_S = 2.0
REFUSED, FORKED = 0, 1


class Found(NamedTuple):
    """The base with the controllers that work, and for each other why it does not."""

    base: Base
    why_not: dict[str, str]


def probe(base: Base, name: str) -> Found:
    """Try each controller of a prepared base with a process of its own in a group of its own.

    Takes some 10 ms a controller, most of it waiting to attach (see `group.SlotGroup`).

    Args:
        base: from `finding.prepare`.
        name: no group that begins so is there yet; those that are made are removed.
    """
    why_not: dict[str, str] = {}
    for controller in base.folders:
        try:
            why = _try(base.only(controller), controller, f"{name}-{controller}")
        except (files.GroupError, OSError) as error:
            why = str(error)
        if why:
            why_not[controller] = why
    if CORE in why_not:  # then no group can be made at all
        return Found(Base(base.version, {}), {**dict.fromkeys(base.folders, why_not[CORE])})
    works = {k: v for k, v in base.folders.items() if k not in why_not}
    return Found(Base(base.version, works), why_not)


def _try(base: Base, controller: str, name: str) -> str:
    """Give why a controller does not work, empty if it does. Raises GroupError, OSError."""
    group = finding.make(base, name)
    try:
        group.set_limits(LIMIT_BYTES, 1 if controller == "pids" else None, CORES)
        group.begin()
        status = _run_canary(group)
        return _judge(controller, status, group.end())
    finally:
        _remove(group)


def _judge(controller: str, status: int, counted: Counters) -> str:
    """Give what is not as it should be after a canary that ended with a wait status (pure)."""
    if not os.WIFEXITED(status):
        return f"a process that was attached for a try ended by signal {os.WTERMSIG(status)}"
    code = os.WEXITSTATUS(status)
    if controller == "pids" and (code != REFUSED or not counted.pids_refused):
        return "pids.max of 1 did not refuse a fork"
    peak = counted.peak_bytes
    if controller == "memory" and peak is not None and peak < TOUCHED_BYTES:
        return f"{TOUCHED_BYTES} bytes were used, and {peak} counted"
    if controller in (CORE, "cpuacct") and not counted.cpu_s:
        return "no time of CPU was counted"
    return ""


def _run_canary(group: SlotGroup) -> int:
    """Attach a process that waits, let it go, and give its wait status."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(write)
            os._exit(_sing(read))
        finally:
            os._exit(3)
    try:
        os.close(read)
        group.attach(pid)
    finally:
        os.close(write)
        _, status = os.waitpid(pid, 0)
    return status


def _sing(go: int) -> int:
    """Wait, use memory and CPU, try to fork; in the canary. It ends by itself, whatever happens."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(CANARY_S)
    os.read(go, 1)
    touched = bytearray(TOUCHED_BYTES)
    while time.process_time() < SPUN_S:
        touched[:] = bytes(TOUCHED_BYTES // 8)
        touched.extend(bytes(TOUCHED_BYTES - len(touched)))
    try:
        child = os.fork()
    except OSError:
        return REFUSED
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return FORKED


def _remove(group: SlotGroup) -> None:
    until = time.monotonic() + REMOVE_S
    while not group.remove() and time.monotonic() < until:
        group.kill()
        time.sleep(0.005)
    group.close()
