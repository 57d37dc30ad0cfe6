"""What a jail shows of this machine: pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runyard.worker.sandbox.runtimes import Interpreter, RuntimeUnusable

OWN = "/.runyard"
"""Where a jail has the files that zygotes and tasks' interpreters load."""
ETC = (
    "alternatives", "ca-certificates.conf", "fonts", "gai.conf", "host.conf", "ld.so.cache",
    "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "nsswitch.conf", "pki", "protocols",
    "rpc", "services", "ssl/certs", "ssl/openssl.cnf", "timezone",
)  # fmt: skip
"""Of /etc: what ordinary programs look for, and nothing that is somebody's."""
TASKS_OWN = ("/tmp", "/task", "/dev", "/proc")  # noqa: S108 (of the jail)
"""What a task has of its own, over whatever lies there."""
INSIDE = 1000
FILES = {
    "/etc/passwd": f"task:x:{INSIDE}:{INSIDE}::/task:/bin/sh\n",
    "/etc/group": f"task:x:{INSIDE}:\n",
    "/etc/hosts": "127.0.0.1 localhost task\n::1 localhost\n",
    "/etc/resolv.conf": "",
}

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""Every jail has these."""
OF_MANY = ("/boot", "/etc", "/home", "/root", "/run", "/srv", "/sys", "/var")
"""What lies here is not an interpreter's alone."""
A_TASK_S = ("/dev", "/mnt", "/proc", "/task", "/tmp")  # noqa: S108 (of the jail)
"""Each task has its own of these, in which nothing of the machine is seen."""


def layout(
    place: str,
    own: str,
    interpreters: Iterable[Interpreter],
    task_files: str | None,
    uid: int,
    gid: int,
) -> dict[str, Any]:
    """Give what the janitor is told once (root.py says what each part is)."""
    folders = [folder for each in interpreters for folder in each.folders]
    binds = [[folder, folder] for folder in without_nested(folders)]
    binds += [[f"/etc/{name}", f"/etc/{name}"] for name in ETC]
    binds += [[f"/etc/{name}", f"/etc/{name}"] for name in python_etc(interpreters)]
    binds.append([own, OWN])
    return {
        "place": place, "binds": binds, "files": FILES, "task_files": task_files,
        "uid": uid, "gid": gid,
    }  # fmt: skip


def refuse_wide(interpreters: Iterable[Interpreter], private: Iterable[str]) -> None:
    """Refuse interpreters whose own folders would show tasks what is none of theirs.

    `private` are folders of which no task may see the whole: homes, and the worker's state.

    Raises:
        RuntimeUnusable: one would, or lies where tasks could not see it.
    """
    closed = ["/", *OF_MANY, *private]
    for each in interpreters:
        for folder in each.folders:
            if any(within(folder, system) for system in SYSTEM):
                continue
            if any(within(folder, own) for own in A_TASK_S):
                raise RuntimeUnusable(
                    f"{each.name}: {each.path} reads from {folder}, and tasks have their own"
                    f" {', '.join(A_TASK_S)}; install it elsewhere"
                )
            shown = [path for path in closed if within(path, folder)]
            if shown:
                raise RuntimeUnusable(
                    f"{each.name}: {each.path} reads from {folder}, which tasks would see whole"
                    f" ({shown[0]} is not for them); install it in a folder of its own"
                )


def python_etc(interpreters: Iterable[Interpreter]) -> list[str]:
    """Name the folders of /etc in which Debian keeps a part of an interpreter."""
    return sorted({f"python{each.version}" for each in interpreters})


def without_nested(folders: Iterable[str]) -> list[str]:
    """Leave out folders that lie in others, or in /usr, which every jail has."""
    kept: list[str] = []
    for folder in sorted(set(folders)):
        if not any(within(folder, each) for each in ("/usr", *kept)):
            kept.append(folder)
    return kept


def within(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def hidden(interpreters: Iterable[Interpreter]) -> str | None:
    """Say which interpreter's files tasks would not see: their own folders lie over them."""
    for each in interpreters:
        for folder in each.folders:
            for own in TASKS_OWN:
                if within(folder, own):
                    return (
                        f"{each.name}: {folder} lies in {own}, of which each task has its own:"
                        " install the interpreter or its environment elsewhere"
                    )
    return None
