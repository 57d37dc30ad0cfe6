"""A slot's group in version 1: one folder in each hierarchy that has a wanted controller."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING or __name__.startswith("runyard."):
    from runyard.worker.sandbox.cgroups import files, group
    from runyard.worker.sandbox.cgroups.where import Base
else:
    from cgroups import files, group
    from cgroups.where import Base

HOT = {
    "oom": ("memory", "memory.oom_control"),
    "refused": ("pids", "pids.events"),
    "cpu": ("cpuacct", "cpuacct.usage"),
    "usage": ("memory", "memory.usage_in_bytes"),
    "peak": ("memory", "memory.max_usage_in_bytes"),
}
LIMIT = "memory.limit_in_bytes"
WITH_SWAP = "memory.memsw.limit_in_bytes"
NONE = "-1"


class Group(group.SlotGroup):
    """See `group.SlotGroup`."""

    OF_FILES = b"cache"

    def __init__(self, folders: dict[str, str]) -> None:
        super().__init__(folders, group.open_hot(folders, HOT, ("peak",)))
        memory = folders.get("memory")
        self._counts_swap = memory is not None and os.path.exists(f"{memory}/{WITH_SWAP}")
        self._memory = float("inf")
        if memory is not None and not self._counts_swap:
            self._put("memory", "memory.swappiness", "0")  # what is swapped would not be bounded

    def set_limits(
        self, memory_bytes: int | None, pids: int | None, cpu_quota: float | None
    ) -> None:
        """See `group.SlotGroup.set_limits`."""
        self._set_memory(memory_bytes)
        self._put("pids", "pids.max", "max" if pids is None else str(pids))
        quota = NONE if cpu_quota is None else str(group.quota_us(cpu_quota))
        try:
            self._put("cpu", "cpu.cfs_quota_us", quota)
        except files.GroupError as error:
            if error.errno != errno.EINVAL or quota == NONE:
                raise
            # A group above has less, which v1 refuses where v2 takes the lesser: so do we.
            self._put("cpu", "cpu.cfs_quota_us", NONE)

    def _set_memory(self, wanted: int | None) -> None:
        """Write the limit and that with swap in the order that keeps the second from being less.

        A write that fails leaves the one at most, the other at least what it was: so the order is
        right the next time, too.
        """
        new = float("inf") if wanted is None else wanted
        names = [LIMIT, WITH_SWAP] if self._counts_swap else [LIMIT]
        if new > self._memory:
            names.reverse()
        for name in names:
            self._put("memory", name, NONE if wanted is None else str(wanted))
        self._memory = new

    def _cpu_s(self, file: files.Hot) -> float:
        return file.number() / 1e9

    def _reset_peak(self) -> None:
        if "peak" in self._hot:
            self._hot["peak"].write(b"0")

    def _peak(self) -> int | None:
        return self._hot["peak"].number() if "peak" in self._hot else None

    def _halted(self) -> group.Halted:
        if "pids" in self.folders:
            going = self._written.get("pids.max", "max")
            return group.Halted(f"{self.folders['pids']}/pids.max", "0", going)
        if "freezer" in self.folders:  # what is frozen dies when it is thawed
            state = f"{self.folders['freezer']}/freezer.state"
            return group.Halted(state, "FROZEN", "THAWED")
        return group.Halted(None, "", "")


def make(base: Base, name: str, mkdir: Callable[[str, int], None] = os.mkdir) -> Group:
    """Make a slot's group below a base.

    Raises:
        GroupError: one of its folders cannot be made; the others are removed again.
    """
    # A hierarchy costs milliseconds to attach to: the freezer only where nothing else stops forks.
    used = {k: v for k, v in base.folders.items() if k != "freezer" or "pids" not in base.folders}
    folders = {controller: f"{parent}/{name}" for controller, parent in used.items()}
    made: list[str] = []
    for folder in dict.fromkeys(folders.values()):
        try:
            mkdir(folder, 0o755)
        except OSError as error:
            for other in made:
                files.rmdir(other)
            raise files.GroupError(folder, error) from None
        made.append(folder)
    return Group(folders)
