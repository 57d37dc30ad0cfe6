"""Looking where groups can be made, and making ready for it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING or __name__.startswith("runyard."):
    from runyard.worker.sandbox.cgroups import files, v1, v2, where
    from runyard.worker.sandbox.cgroups.group import SlotGroup
    from runyard.worker.sandbox.cgroups.where import CORE, Base
else:
    from cgroups import files, v1, v2, where
    from cgroups.group import SlotGroup
    from cgroups.where import CORE, Base

LEAF = "worker"


def look() -> tuple[Base, dict[str, str]]:
    """Find below which folders this process may make groups; second: why a controller has none.

    It changes nothing. Look before `prepare`: afterwards this process is one group further below.
    """
    try:
        found = where.own(files.whole("/proc/self/cgroup"), files.whole("/proc/self/mountinfo"))
        unified = files.read(f"{found.v2}/cgroup.controllers") if found.v2 else ""
    except files.GroupError as error:
        return Base(1, {}), dict.fromkeys(where.WANTED, str(error))
    return where.choose(found, unified)


def prepare(base: Base, pids: Iterable[int]) -> tuple[Base, dict[str, str]]:
    """Make a base ready for slots' groups; version 1 needs nothing.

    In version 2 a group whose children have controllers must have no processes itself. So the
    worker's own (`pids`: itself and its janitor, each with all its threads) move to a child group,
    `LEAF`, where their later children are too. Others' processes are never moved.

    Gives:
        The base with the controllers that are enabled, and why for each other.
    """
    if base.version == 1:
        return base, {}
    folder = base.folders[CORE]
    why_not: dict[str, str] = {}
    try:
        enabled = files.read(f"{folder}/cgroup.subtree_control").split()
        missing = [n for n in base.folders if n != CORE and n not in enabled]
        # The root of all groups, which alone has no type, may have processes.
        if missing and os.path.exists(f"{folder}/cgroup.type"):
            _move(folder, pids)
    except files.GroupError as error:
        why_not = {n: str(error) for n in base.folders if n != CORE}
        return base.only(), why_not
    for name in missing:
        try:
            files.write(f"{folder}/cgroup.subtree_control", f"+{name}")
        except files.GroupError as error:
            why_not[name] = _why(folder, error)
    return base.only(*(n for n in base.folders if n not in why_not)), why_not


def _move(folder: str, pids: Iterable[int]) -> None:
    leaf = f"{folder}/{LEAF}"
    try:
        os.mkdir(leaf, 0o755)
    except FileExistsError:
        pass
    except OSError as error:
        raise files.GroupError(leaf, error) from None
    for pid in pids:
        files.write(f"{leaf}/cgroup.procs", str(pid))


def _why(folder: str, error: files.GroupError) -> str:
    others = files.pids(folder)
    if error.errno != errno.EBUSY or not others:
        return str(error)
    named = ", ".join(map(str, others[:5])) + (", ..." if len(others) > 5 else "")
    return (
        f"{folder} holds other processes ({named}); give the worker a group of its own: a systemd"
        " unit with Delegate=yes, or systemd-run --scope -p Delegate=yes; in a container, start it"
        " as the only process"
    )


def make(base: Base, name: str) -> SlotGroup:
    """Make a slot's group below a base, of whichever version it is. Raises GroupError."""
    return v1.make(base, name) if base.version == 1 else v2.make(base, name)
