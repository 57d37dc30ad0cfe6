"""What a slot's control group is, whichever version the kernel has."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING or __name__.startswith("runyard."):
    from runyard.worker.sandbox.cgroups import files, killing
else:  # in the janitor: nothing but the standard library and this folder's parent is on the path
    from cgroups import files, killing

PERIOD_US = 100_000  # the kernel's own default
LEAST_QUOTA_US = 1_000  # kernel/sched/core.c: min_cfs_quota_period
NO_COUNTS = (0, 0, 0.0)


class Counters(NamedTuple):
    """What happened in a group since `SlotGroup.begin`; None is what the kernel cannot tell.

    `oom_kills` processes were killed for memory, `pids_refused` forks or threads were refused,
    `cpu_s` seconds were used, `peak_bytes` is the most memory at a time.
    """

    oom_kills: int
    pids_refused: int
    cpu_s: float | None
    peak_bytes: int | None


class SlotGroup:
    """A slot's group: made once, attached to once, limited and read for each task.

    Nothing here waits, but that attaching in version 1 takes 5 to 17 ms, and lowering a memory
    limit as long as the kernel needs to take memory back. Each method raises `files.GroupError`.

    Args:
        folders: by controller, the folder of this group.
        hot: the files that are read for each task, open, by what they tell; it closes them.

    Attributes:
        base_bytes: What was in use at `note_base` and is not to be had back; None where that is
            not told.
        fd: the folder in version 2, for CLONE_INTO_CGROUP; -1 in version 1, and when it is closed.
    """

    OF_FILES: bytes
    fd = -1

    def __init__(self, folders: dict[str, str], hot: dict[str, files.Hot]) -> None:
        self.folders = folders
        self._hot = hot
        self._written: dict[str, str] = {}
        self._start: tuple[int, int, float] = NO_COUNTS
        self.base_bytes: int | None = None

    @property
    def paths(self) -> list[str]:
        """Each folder once."""
        return list(dict.fromkeys(self.folders.values()))

    def attach(self, pid: int) -> None:
        """Move a process in, in each hierarchy; what it starts afterwards is in it too."""
        for path in self.paths:
            files.write(f"{path}/cgroup.procs", str(pid))

    def set_limits(
        self, memory_bytes: int | None, pids: int | None, cpu_quota: float | None
    ) -> None:
        """Bound memory (with swap), processes and threads, and cores; None is no bound.

        Only what differs from the last time is written. Where a controller is missing its limit is
        passed over. Memory below what is in use is refused in v1, and kills in v2.
        """
        raise NotImplementedError

    def note_base(self) -> None:
        """Note what is in use now as what always is."""
        self.base_bytes = self.own_bytes()

    def own_bytes(self, enough: int = 0) -> int | None:
        """Give what is in use but for files: those the kernel gives up when it has to.

        With them a task could leave the next one more memory than it may have. Files in memory
        (tmpfs, shared memory) it does not give up. Where all together is no more than `enough`,
        that is given. None where it is not told.
        """
        usage = self._hot.get("usage")
        if usage is None:
            return None
        used = usage.number()
        if used <= enough:
            return used
        stat = files.read(f"{self.folders['memory']}/memory.stat").encode()
        return max(0, used - files.keyed(stat, self.OF_FILES) + files.keyed(stat, b"shmem"))

    def begin(self) -> None:
        """Note where the counters are, and forget the peak."""
        self._reset_peak()
        self._start = self._counts()

    def end(self) -> Counters:
        """Give what happened since `begin`."""
        oom, refused, cpu = self._counts()
        oom_0, refused_0, cpu_0 = self._start
        used = max(0.0, cpu - cpu_0) if "cpu" in self._hot else None
        return Counters(oom - oom_0, refused - refused_0, used, self._peak())

    def used_s(self) -> float:
        """Give the seconds of CPU used since `begin`; 0 where none are counted."""
        return self._cpu_s(self._hot["cpu"]) - self._start[2] if "cpu" in self._hot else 0.0

    def pids(self) -> list[int]:
        """List the processes in it, those that we can see."""
        return sorted({pid for path in self.paths for pid in files.pids(path)})

    def kill(self) -> bool:
        """Kill all that is in it, but not this process; whether none is left at once.

        The killed take a moment to go: ask again later, by a clock.
        """
        with self._halted():
            killing.kill_listed(self.pids)
        return not self.pids()

    def remove(self) -> bool:
        """Try to remove it; False while something is in it: kill, and try again later."""
        gone = [files.rmdir(path) for path in self.paths]
        if all(gone):
            self.close()
        return all(gone)

    def close(self) -> None:
        """Close its files, and leave it where it is; idempotent."""
        for file in self._hot.values():
            file.close()

    def _counts(self) -> tuple[int, int, float]:
        hot = self._hot
        return (
            hot["oom"].keyed(b"oom_kill") if "oom" in hot else 0,
            hot["refused"].keyed(b"max") if "refused" in hot else 0,
            self._cpu_s(hot["cpu"]) if "cpu" in hot else 0.0,
        )

    def _put(self, controller: str, name: str, value: str) -> None:
        """Write a limit where its controller is there and it is not what it was."""
        folder = self.folders.get(controller)
        if folder is None or self._written.get(name) == value:
            return
        self._written.pop(name, None)  # a write that fails leaves we do not know what
        files.write(f"{folder}/{name}", value)
        self._written[name] = value

    def _cpu_s(self, file: files.Hot) -> float:
        raise NotImplementedError

    def _reset_peak(self) -> None:
        raise NotImplementedError

    def _peak(self) -> int | None:
        raise NotImplementedError

    def _halted(self) -> Halted:
        raise NotImplementedError


class Halted:
    """For a while no process in a group can fork: a file holds `stopped`, then `going` again."""

    def __init__(self, path: str | None, stopped: str, going: str) -> None:
        self._path = path
        self._values = (stopped, going)

    def __enter__(self) -> None:
        self._put(self._values[0])

    def __exit__(self, *_: object) -> None:
        self._put(self._values[1])

    def _put(self, value: str) -> None:
        try:
            if self._path is not None:
                files.write(self._path, value)
        except files.GroupError:
            return  # without it some rounds are needed, which the caller has anyway


def quota_us(cores: float) -> int:
    """Give the microseconds of a period that so many cores are."""
    return max(LEAST_QUOTA_US, round(cores * PERIOD_US))


def open_hot(
    folders: dict[str, str], wanted: dict[str, tuple[str, str]], writable: tuple[str, ...]
) -> dict[str, files.Hot]:
    """Open the files of a group that are there; `wanted` is {what: (controller, file)}."""
    hot: dict[str, files.Hot] = {}
    for what, (controller, name) in wanted.items():
        if controller not in folders:
            continue
        path = f"{folders[controller]}/{name}"
        for write in (True, False) if what in writable else (False,):
            try:
                hot[what] = files.Hot(path, write)
                break
            except files.GroupError:
                continue  # an older kernel: what it would tell is then unknown
    return hot
