"""Where this process's own control groups are: pure, by what /proc says of them.

A group of ours is only ever made below the group that this process is in, never beside it and never
at a hierarchy's root (unless this process is there): someone else may already bound it.
"""

from __future__ import annotations

import os
from typing import NamedTuple

CORE = "cgroup"  # stands for what each group of v2 has without any controller
WANTED = ("memory", "pids", "cpu")
OCTAL = frozenset("01234567")
HELPFUL_V1 = ("cpuacct", "freezer")


class Mount(NamedTuple):
    """A mounted hierarchy: the group at its root, where, its controllers (v1), if read-only."""

    version: int
    root: str
    point: str
    controllers: frozenset[str]
    read_only: bool


class Base(NamedTuple):
    """Where groups may be made: for each controller, the folder below which.

    Version 2 has one folder for all, and `CORE` beside its controllers; in version 1 controllers
    that are mounted together share one.
    """

    version: int
    folders: dict[str, str]

    def only(self, *controllers: str) -> Base:
        """Give the same with these controllers alone (and what each group has anyway)."""
        kept = {CORE, *controllers}
        return Base(self.version, {k: v for k, v in self.folders.items() if k in kept})


class Own(NamedTuple):
    """This process's own groups: by controller in v1, one folder or none in v2; why not more."""

    v1: dict[str, str]
    v2: str | None
    why_not: dict[str, str]


def unescape(field: str) -> str:
    r"""Read a field of mountinfo, where a blank is written as ``\040``."""
    head, *rest = field.split("\\")
    return head + "".join(
        chr(int(part[:3], 8)) + part[3:] if OCTAL.issuperset(part[:3] or "x") else "\\" + part
        for part in rest
    )


def mounts(mountinfo: str) -> list[Mount]:
    """Read the mounted hierarchies from /proc/self/mountinfo's text; the last at a place counts."""
    found: dict[str, Mount] = {}
    for line in mountinfo.split("\n"):
        fields, _, rest = line.partition(" - ")
        before, after = fields.split(" "), rest.split(" ")
        if len(before) < 6 or len(after) < 3:
            continue
        point, version = unescape(before[4]), {"cgroup": 1, "cgroup2": 2}.get(after[0])
        found.pop(point, None)
        if version is not None:
            options = frozenset(after[2].split(","))
            read_only = "ro" in before[5].split(",") or "ro" in options
            controllers = options if version == 1 else frozenset()
            found[point] = Mount(version, unescape(before[3]), point, controllers, read_only)
    return list(found.values())


def memberships(cgroup: str) -> list[tuple[tuple[str, ...], str]]:
    """Read (controllers, path) pairs from the text of /proc/self/cgroup; v2 has no controllers."""
    parts = (line.split(":", 2) for line in cgroup.split("\n"))
    return [
        (tuple(names.split(",")) if names else (), path)
        for _, names, path in (each for each in parts if len(each) == 3)
    ]


def folder(mount: Mount, path: str) -> str | None:
    """Give the folder of the group `path` in a mount, or None where it lies outside of it."""
    root = mount.root.rstrip("/")
    below = path[len(root) :] if path == root or path.startswith(root + "/") else None
    if below is None or ".." in below.split("/"):  # outside of our cgroup namespace
        return None
    return os.path.normpath(mount.point + "/" + below)


def own(cgroup: str, mountinfo: str) -> Own:
    """Give the folders of this process's own groups.

    Args:
        cgroup: the text of /proc/self/cgroup.
        mountinfo: the text of /proc/self/mountinfo.
    """
    mounted = mounts(mountinfo)
    v1: dict[str, str] = {}
    v2: str | None = None
    why_not: dict[str, str] = {}
    for names, path in memberships(cgroup):
        fitting = [
            each
            for each in mounted
            if each.version == (1 if names else 2) and each.controllers.issuperset(names)
        ]
        place, why = _place(fitting, path)
        for name in names or (CORE,):
            if why:
                why_not[name] = why
            elif names:
                v1[name] = place
            else:
                v2 = place
    return Own(v1, v2, why_not)


def _place(fitting: list[Mount], path: str) -> tuple[str, str]:
    """Choose a mount through which a group can be written: its folder there, or why none is."""
    if not fitting:
        return "", "its hierarchy is not mounted here"
    seen = [(each, folder(each, path)) for each in fitting]
    reached = [(each, place) for each, place in seen if place is not None]
    if not reached:
        return "", f"this process's group {path} lies outside of {fitting[0].point}"
    for mount, place in reached:
        if not mount.read_only:
            return place, ""
    return "", f"{reached[0][0].point} is mounted read-only"


def choose(found: Own, unified: str) -> tuple[Base, dict[str, str]]:
    """Choose the hierarchies for the slots' groups; the second is why a wanted controller has none.

    Where both versions have some, the one with memory is taken, else the one with more.

    Args:
        found: from `own`.
        unified: the text of ``cgroup.controllers`` in v2's own folder, empty where there is none.
    """
    v1 = {name: found.v1[name] for name in (*WANTED, *HELPFUL_V1) if name in found.v1}
    listed = unified.split()
    v2 = {CORE: found.v2, **{n: found.v2 for n in WANTED if n in listed}} if found.v2 else {}
    newer = bool(v2) and (_worth(v2) > _worth(v1) or not v1)
    base = Base(2, v2) if newer else Base(1, v1)
    missing = [name for name in WANTED if name not in base.folders]
    return base, {name: _why(name, found, newer) for name in missing}


def _worth(folders: dict[str, str]) -> tuple[bool, int]:
    return "memory" in folders, sum(name in folders for name in WANTED)


def _why(name: str, found: Own, newer: bool) -> str:
    if newer and found.v2:
        return f"{found.v2}/cgroup.controllers does not list {name}; it must be delegated to us"
    fallback = "the kernel has no such controller, or it is switched off"
    return found.why_not.get(name) or found.why_not.get(CORE) or fallback
