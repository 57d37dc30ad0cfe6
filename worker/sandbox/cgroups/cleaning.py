"""Removing a group that an earlier worker left: one try, to be repeated by a clock."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING or __name__.startswith("runyard."):
    from runyard.worker.sandbox.cgroups import files, killing, where
else:
    from cgroups import files, killing, where


def clean(path: str, mountinfo: str | None = None) -> bool:
    """Kill what is in a group and try to remove it, with the groups below it.

    Args:
        path: its folder, as it was recorded; nothing outside of a mounted hierarchy is touched.
        mountinfo: the text of /proc/self/mountinfo, if not this process's own.

    Gives:
        True when it is gone; False while what was killed is still going: try again later.

    Raises:
        GroupError: it is no group, it holds this very process, or it is not ours to remove.
    """
    if not os.path.lexists(path):
        return True
    _check(path, files.whole("/proc/self/mountinfo") if mountinfo is None else mountinfo)
    if os.getpid() in _listed(path):
        raise files.GroupError(path, OSError(0, "this very process is in the group"))
    _kill(path)
    return all(files.rmdir(folder) for folder in _folders(path))


def _check(path: str, mountinfo: str) -> None:
    """Raise GroupError unless a path is the plain name of a group below some hierarchy's root."""
    points = [mount.point.rstrip("/") + "/" for mount in where.mounts(mountinfo)]
    plain = os.path.isabs(path) and os.path.realpath(path) == path
    if not plain or not any(path.startswith(point) for point in points):
        raise files.GroupError(path, OSError(0, "it is no control group that is mounted here"))


def _folders(path: str) -> list[str]:
    """List a group and all below it, the deepest first."""
    return [folder for folder, _, _ in os.walk(path, topdown=False)]


def _listed(path: str) -> list[int]:
    return [pid for folder in _folders(path) for pid in files.pids(folder)]


def _kill(path: str) -> None:
    if os.path.exists(f"{path}/cgroup.kill"):
        files.write(f"{path}/cgroup.kill", "1")
        return
    for name, value in (("pids.max", "0"), ("cgroup.freeze", "1"), ("freezer.state", "FROZEN")):
        _try_to_write(f"{path}/{name}", value)
    killing.kill_listed(lambda: _listed(path))
    for name, value in (("cgroup.freeze", "0"), ("freezer.state", "THAWED")):
        _try_to_write(f"{path}/{name}", value)


def _try_to_write(path: str, value: str) -> None:
    try:
        if os.path.exists(path):
            files.write(path, value)
    except files.GroupError:
        return  # it only makes the killing surer
