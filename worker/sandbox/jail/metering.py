"""A slot's control group around each job: its limits before, its counters after."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from runyard.daemon.waiting import follow, within
from runyard.protocols.limits import MIB, Limits
from runyard.worker.sandbox.cgroups import finding
from runyard.worker.sandbox.cgroups.files import GroupError
from runyard.worker.sandbox.cgroups.group import SlotGroup
from runyard.worker.sandbox.cgroups.where import Base
from runyard.worker.sandbox.instance import Instance, InstanceUnusable, forget

OURS = 2
"""Processes in a slot's group beside the task's: its zygote, its keeper."""
STEP = 4 * MIB
OWN = 12 * MIB
"""Of zygote, keeper and a child that waits, where nothing is preloaded."""
CORES = 1.0
CPU_LOOK_S = 0.02
REMOVE_S = 0.02
REMOVE_TRIES = 100
CLOSE_S = 3.0

log = Logger()


def memory_limit(in_use: int, wanted: int) -> int:
    """Give a group's limit, of which a task gets what it wants: what it holds already comes on top.

    That is rounded up, so that the limit is written only where it really changes.
    """
    return (in_use // STEP + 2) * STEP + wanted


class Meter:
    """One slot's group.

    Attributes:
        base: Bytes that the slot has without a job; until that is known, what others have.
        paths: Its folders, where the janitor attaches the slot's zygote.
        removed: Fires after `remove`; whether the group is gone.
    """

    def __init__(self, clock: IReactorTime, group: SlotGroup, base: int = OWN) -> None:
        self.paths = group.paths
        self.removed: Deferred[bool] = Deferred()
        self._clock = clock
        self._group = group
        self.base = base
        self._noted = False
        self._timer: IDelayedCall | None = None

    def rests(self) -> bool:
        """Whether what the last job had is gone from memory; the kernel frees some of it late."""
        try:
            own = self._group.own_bytes(self.base + STEP)
        except GroupError as error:
            log.warn("a slot's control group: {error}", error=str(error))
            return True
        return own is None or own <= self.base + STEP

    def idle(self) -> None:
        """Note, once, what the slot has without a job."""
        if self._noted:
            return
        self._noted = True
        try:
            self._group.note_base()
        except GroupError as error:
            log.warn("a slot's control group: {error}", error=str(error))
        self.base = self._group.base_bytes or self.base

    def begin(self, limits: Limits, over: Callable[[], None]) -> None:
        """Bound what the next task of the slot may use; `over` is called past its CPU limit.

        Raises:
            OSError: the group cannot be written to.
        """
        try:
            memory = memory_limit(self.base, limits.memory_bytes)
            self._group.set_limits(memory, limits.processes + OURS, CORES)
            self._group.begin()
        except GroupError as error:
            raise OSError(str(error)) from None
        self._arm(limits.cpu_s, over)

    def end(self) -> dict[str, Any]:
        """Give what the counters say, by the names of `Ending`, and `group_cpu_s`: all it used."""
        self._disarm()
        try:
            found = self._group.end()
        except GroupError as error:
            log.warn("a slot's control group: {error}", error=str(error))
            return {}
        told: dict[str, Any] = {
            "oom_kills": found.oom_kills, "pids_refused": found.pids_refused,
        }  # fmt: skip
        if found.cpu_s is not None:
            told["group_cpu_s"] = found.cpu_s
        if found.peak_bytes is not None:
            told["peak_bytes"] = max(0, found.peak_bytes - self.base)
        return told

    def remove(self) -> None:
        """Remove the group, as soon as the kernel is done with who was in it."""
        self._disarm()
        self._remove(REMOVE_TRIES)

    def _arm(self, left: float, over: Callable[[], None]) -> None:
        """Look again when the limit can have been reached: cores times time is the most it uses."""
        self._timer = self._clock.callLater(left / CORES + CPU_LOOK_S, self._look, left, over)

    def _look(self, limit: float, over: Callable[[], None]) -> None:
        try:
            used = self._group.used_s()
        except GroupError as error:  # the limit stays watched: look again
            log.warn("a slot's control group: {error}", error=str(error))
            used = 0.0
        if used >= limit:
            over()
        else:
            self._timer = self._clock.callLater(
                (limit - used) / CORES + CPU_LOOK_S, self._look, limit, over
            )

    def _disarm(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _remove(self, tries: int) -> None:
        try:
            if self._group.remove():
                self.removed.callback(True)
                return
        except GroupError as error:
            log.warn("a slot's control group: {error}", error=str(error))
            self.removed.callback(False)
            return
        if tries > 0:
            self._clock.callLater(REMOVE_S, self._remove, tries - 1)
        else:
            log.warn("a slot's control group is still in use: {paths}", paths=self.paths)
            self.removed.callback(False)


class Meters:
    """Makes the groups of one run of a worker, each written down before it is made.

    A name is used again after its group is gone, so that what is written down stays short.
    """

    def __init__(self, clock: IReactorTime, base: Base, instance: Instance) -> None:
        self.instance = instance
        self._clock = clock
        self._base = base
        self._serial = itertools.count(1)
        self._names: deque[str] = deque()
        self._meters: list[Meter] = []
        self._all_gone = True
        for folder in dict.fromkeys(base.folders.values()):
            instance.note_base("cgroup", folder)

    def make(self) -> Meter:
        """Make a slot's group.

        Raises:
            OSError: it cannot be made or written down.
        """
        name = self._names.popleft() if self._names else self._new_name()
        try:
            base = max([OWN, *(each.base for each in self._meters)])
            meter = Meter(self._clock, finding.make(self._base, name), base)
        except GroupError as error:
            self._all_gone = False  # a part of it may be there
            raise OSError(str(error)) from None
        self._meters.append(meter)
        meter.removed.addCallback(self._gone, meter, name)
        return meter

    def _new_name(self) -> str:
        name = f"runyard-{self.instance.id}-{next(self._serial)}"
        try:
            for folder in dict.fromkeys(self._base.folders.values()):
                self.instance.note("cgroup", os.path.join(folder, name))
        except InstanceUnusable as error:
            raise OSError(str(error)) from None
        return name

    def _gone(self, gone: bool, meter: Meter, name: str) -> None:
        self._meters.remove(meter)
        self._all_gone = self._all_gone and gone
        if gone:
            self._names.append(name)

    async def close(self) -> None:
        """Forget what this run has made, once it is removed; else a later start removes it."""
        left = gatherResults([follow(meter.removed) for meter in self._meters])
        if await within(self._clock, follow(left), CLOSE_S) and self._all_gone:
            with contextlib.suppress(OSError):
                forget(self.instance)
        self.instance.release()
