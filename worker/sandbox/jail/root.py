"""A slot's jail: the few things of this machine that its tasks may see, read-only.

Runs in a child of the janitor that is alone in its namespaces, before it gives up what it needs for
this. Standard library only.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runyard.worker.sandbox.kernel import mounts
else:
    from kernel import mounts

DEVICES = ("null", "zero", "full", "random", "urandom")
LINKS = (
    ("dev/fd", "/proc/self/fd"),
    ("dev/stdin", "/proc/self/fd/0"),
    ("dev/stdout", "/proc/self/fd/1"),
    ("dev/stderr", "/proc/self/fd/2"),
)
SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
FOLDERS = ("dev/shm", "etc", "mnt", "proc", "task", "tmp", ".files")
ROOT_BYTES = 1024 * 1024


def build(layout: dict[str, Any]) -> str:
    """Make the jail's root and move into it; what kind of proc it has is returned.

    `layout` holds `place` (an empty folder to build at), `binds` [[source, target]] of files and
    folders, `files` {path: text} of small files made for it, and `task_files` (a folder, or null).

    Raises:
        OSError: what could not be done, and where.
    """
    place = layout["place"]
    mounts.make_private("/")
    mounts.tmpfs(place, size=ROOT_BYTES, inodes=1024, mode=0o755)
    for folder in FOLDERS:
        os.makedirs(f"{place}/{folder}", 0o755)
    _system(place)
    for source, target in layout["binds"]:
        _bind(source, place + target)
    if layout["task_files"]:
        mounts.bind(layout["task_files"], f"{place}/.files")
    for name in DEVICES:
        with open(f"{place}/dev/{name}", "xb"):
            pass
        mounts.bind(f"/dev/{name}", f"{place}/dev/{name}", flags=mounts.NOSUID)
    for name, target in LINKS:
        os.symlink(target, f"{place}/{name}")
    for name, text in layout["files"].items():
        os.makedirs(os.path.dirname(place + name), 0o755, exist_ok=True)
        with open(place + name, "x", encoding="utf-8") as file:
            file.write(text)
    proc = _proc(f"{place}/proc")
    mounts.pivot_into(place)
    mounts.set_flags("/", mounts.RDONLY | mounts.NOSUID | mounts.NODEV)
    return proc


def _system(place: str) -> None:
    """Bring in /usr, and what belongs to it."""
    os.mkdir(f"{place}/usr")
    mounts.bind("/usr", f"{place}/usr")
    for name in SYSTEM:
        path = f"/{name}"
        if os.path.islink(path):
            os.symlink(os.readlink(path), place + path)
        elif os.path.isdir(path):
            os.mkdir(place + path)
            mounts.bind(path, place + path)


def _bind(source: str, target: str) -> None:
    """Bring in a file or a folder where there is one."""
    try:
        kind = os.stat(source).st_mode
    except OSError:
        return
    if stat.S_ISDIR(kind):
        os.makedirs(target, 0o755, exist_ok=True)
    elif stat.S_ISREG(kind):
        os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
        if not os.path.exists(target):
            with open(target, "xb"):
                pass
    else:
        return
    mounts.bind(source, target)


def _proc(target: str) -> str:
    """Mount proc, as far as this system lets us: a container's masks forbid it.

    It is a whole one: only under such a one may the tasks' own be mounted, which are read-only and
    without the rest of /proc where the kernel can do that (``pid``, from Linux 5.8).
    """
    try:
        mounts.proc(target, subset_pid=False, flags=0)
    except OSError:
        return "none"
    try:
        mounts.proc(target)
    except OSError:
        return "all"
    mounts.unmount(target)
    return "pid"
