"""Level `restricted`: what its jobs may reach, as their helper is told it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable

from attrs import frozen

from runyard.worker.sandbox.jail.layout import ETC, python_etc, without_nested
from runyard.worker.sandbox.runtimes import Account, Interpreter

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")


@frozen
class Restriction:
    """What a slot's jobs are held to (confining.py).

    Attributes:
        read: Files and folders that they may read and execute.
        owns_files: Whether they run as the worker's own user.
        abi: The version of Landlock to act by; None for what the kernel has.
    """

    read: tuple[str, ...]
    owns_files: bool
    abi: int | None = None

    def text(self, hook: str) -> str:
        """Give the helper's argument; `hook` is the folder that tasks' interpreters load."""
        told = {"read": [*self.read, hook], "owns_files": self.owns_files, "abi": self.abi}
        return json.dumps(told)


def restriction(
    interpreters: Iterable[Interpreter],
    task_files: Iterable[tuple[str, str]],
    account: Account | None,
) -> Restriction:
    """Give what jobs of these interpreters need, and no more."""
    given = tuple(interpreters)
    folders = without_nested(folder for each in given for folder in each.folders)
    etc = [f"/etc/{name}" for name in (*ETC, *python_etc(given))]
    files = [path for _, path in task_files]
    return Restriction((*SYSTEM, *folders, *etc, *files), owns_files=account is None)
