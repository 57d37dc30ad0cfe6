"""A slot's group in version 2: one folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING or __name__.startswith("runyard."):
    from runyard.worker.sandbox.cgroups import files, group
    from runyard.worker.sandbox.cgroups.where import CORE, Base
else:
    from cgroups import files, group
    from cgroups.where import CORE, Base

HOT = {
    "oom": ("memory", "memory.events"),
    "refused": ("pids", "pids.events"),
    "cpu": (CORE, "cpu.stat"),
    "usage": ("memory", "memory.current"),
    "peak": ("memory", "memory.peak"),  # since 5.19; resettable, for its reader, since 6.12
}


class Group(group.SlotGroup):
    """See `group.SlotGroup`.

    ``memory.oom.group`` is left at 0, so that the task's process dies and its pid 1 can tell.
    """

    OF_FILES = b"file"

    def __init__(self, folders: dict[str, str]) -> None:
        super().__init__(folders, group.open_hot(folders, HOT, ("peak",)))
        path = folders[CORE]
        self._resets = "peak" in self._hot
        self._last_peak = 0
        try:
            self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise files.GroupError(path, error) from None
        if "memory" in folders and os.path.exists(f"{path}/memory.swap.max"):
            self._put("memory", "memory.swap.max", "0")

    def set_limits(
        self, memory_bytes: int | None, pids: int | None, cpu_quota: float | None
    ) -> None:
        """See `group.SlotGroup.set_limits`."""
        quota = "max" if cpu_quota is None else str(group.quota_us(cpu_quota))
        self._put("memory", "memory.max", "max" if memory_bytes is None else str(memory_bytes))
        self._put("pids", "pids.max", "max" if pids is None else str(pids))
        self._put("cpu", "cpu.max", f"{quota} {group.PERIOD_US}")

    def kill(self) -> bool:
        """See `group.SlotGroup.kill`. Raises GroupError, too, if this process is in it."""
        path = f"{self.folders[CORE]}/cgroup.kill"
        if not os.path.exists(path):  # before 5.14
            return super().kill()
        if os.getpid() in self.pids():
            raise files.GroupError(path, OSError(0, "this very process is in the group"))
        files.write(path, "1")
        return not self.pids()

    def close(self) -> None:
        """See `group.SlotGroup.close`."""
        super().close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _cpu_s(self, file: files.Hot) -> float:
        return file.keyed(b"usage_usec") / 1e6

    def _reset_peak(self) -> None:
        if self._resets:
            try:
                self._hot["peak"].write(b"0")
            except files.GroupError:
                self._resets = False
        if not self._resets and "peak" in self._hot:
            self._last_peak = self._hot["peak"].number()

    def _peak(self) -> int | None:
        if "peak" not in self._hot:
            return None
        peak = self._hot["peak"].number()
        # Of all times since the group was made: it is this time's only where it has grown.
        return peak if self._resets or peak > self._last_peak else None

    def _halted(self) -> group.Halted:
        return group.Halted(f"{self.folders[CORE]}/cgroup.freeze", "1", "0")


def make(base: Base, name: str, mkdir: Callable[[str, int], None] = os.mkdir) -> Group:
    """Make a slot's group below a base whose controllers are enabled for its children.

    Raises:
        GroupError: it cannot be made.
    """
    folder = f"{base.folders[CORE]}/{name}"
    try:
        mkdir(folder, 0o755)
    except OSError as error:
        raise files.GroupError(folder, error) from None
    return Group(dict.fromkeys(base.folders, folder))
