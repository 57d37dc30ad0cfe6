"""The control groups of an outer box: made below the process's own, v1 and v2. No dependency.

Each is made in its own hierarchy, below the group that this process is in there, never at the root
of a group that is not ours. What a hierarchy cannot do is left out, and told.
"""

from __future__ import annotations

import contextlib
import os
import time

ROOT = "/sys/fs/cgroup"
WANTED = ("memory", "pids", "cpu", "devices")
DEVICES = (
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:* rwm",
    "c 136:* rwm",
)
"""null, zero, full, random, urandom, tty and ptmx, pseudo-terminals; no disk."""


def mounted() -> dict[str, str]:
    """Map each v1 controller, and "v2", to where its hierarchy is mounted."""
    found: dict[str, str] = {}
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:
        for line in lines:
            left, _, right = line.partition(" - ")
            kind, _, options = right.split()[:3]
            point = left.split()[4]
            if kind == "cgroup2":
                found["v2"] = point
            elif kind == "cgroup":
                for name in options.split(","):
                    found.setdefault(name, point)
    return found


def own() -> dict[str, str]:
    """Map each v1 controller, and "v2", to the path of the group that this process is in."""
    found: dict[str, str] = {}
    with open("/proc/self/cgroup", encoding="utf-8") as lines:
        for line in lines:
            _, names, path = line.rstrip("\n").split(":", 2)
            for name in names.split(",") if names else ["v2"]:
                found[name] = path
    return found


def write(folder: str, name: str, value: object) -> None:
    """Set one value of a group. Raises OSError."""
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(str(value))


def settings(memory: int, pids: int, cpus: float) -> dict[str, dict[str, object]]:
    """Give what is set in each v1 hierarchy."""
    return {
        "memory": {"memory.limit_in_bytes": memory},
        "pids": {"pids.max": pids},
        "cpu": {"cpu.cfs_period_us": 100_000, "cpu.cfs_quota_us": int(cpus * 100_000)},
    }


def v2_settings(memory: int, pids: int, cpus: float) -> dict[str, tuple[str, object]]:
    """Give what is set in a v2 group, by controller."""
    return {
        "memory": ("memory.max", memory),
        "pids": ("pids.max", pids),
        "cpu": ("cpu.max", f"{int(cpus * 100_000)} 100000"),
    }


def make(name: str, memory: int, pids: int, cpus: float) -> dict[str, str]:
    """Make a box's groups; maps what they hold ("memory", "pids", ..., "v2") to their folders."""
    made: dict[str, str] = {}
    places, mine = mounted(), own()
    for controller, values in [*settings(memory, pids, cpus).items(), ("devices", {})]:
        if controller not in places or controller not in mine:
            continue
        folder = f"{places[controller]}{mine[controller].rstrip('/')}/{name}"
        with contextlib.suppress(OSError):
            os.mkdir(folder)
            made[controller] = folder
            for key, value in values.items():
                write(folder, key, value)
    if "devices" in made:
        write(made["devices"], "devices.deny", "a")
        for device in DEVICES:
            write(made["devices"], "devices.allow", device)
    if "v2" in places and "v2" in mine:
        made |= _make_v2(f"{places['v2']}{mine['v2'].rstrip('/')}", name, memory, pids, cpus, made)
    return made


def _make_v2(
    parent: str, name: str, memory: int, pids: int, cpus: float, made: dict[str, str]
) -> dict[str, str]:
    folder = f"{parent}/{name}"
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        os.mkdir(folder)
        found["v2"] = folder
    for controller, (key, value) in v2_settings(memory, pids, cpus).items():
        if controller in made or not found:
            continue
        with contextlib.suppress(OSError):  # no such controller here, or it may not be handed down
            write(parent, "cgroup.subtree_control", f"+{controller}")
            write(folder, key, value)
            found[controller] = folder
    return found


def enter(groups: dict[str, str]) -> None:
    """Move this process, which has one thread, into the groups. Raises OSError."""
    for folder in set(groups.values()):
        write(folder, "cgroup.procs", 0)


def below(folder: str) -> list[str]:
    """List the groups below one, deepest first."""
    return [path for path, _, _ in os.walk(folder, topdown=False) if path != folder]


def inside(folder: str) -> list[int]:
    """List the processes of a group and of those below it, as far as they can be read."""
    found: list[int] = []
    for path in [*below(folder), folder]:
        with contextlib.suppress(OSError), open(f"{path}/cgroup.procs", encoding="utf-8") as file:
            found += [int(line) for line in file]
    return found


def remove(groups: dict[str, str], seconds: float = 5.0) -> list[str]:
    """Remove a box's groups with those made below; lists what would not go."""
    left = [path for folder in set(groups.values()) for path in [*below(folder), folder]]
    until = time.monotonic() + seconds
    while left:
        for path in list(left):
            try:
                os.rmdir(path)
            except FileNotFoundError:
                left.remove(path)
            except OSError:
                continue  # the last process's exit is still on its way through the kernel
            else:
                left.remove(path)
        if time.monotonic() > until:
            break
        if left:
            time.sleep(0.005)
    return left
