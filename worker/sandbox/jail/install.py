"""Puts the files that zygotes and tasks' interpreters load where a jail can show them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from runyard.worker.sandbox import hook
from runyard.worker.sandbox.runtimes import Interpreter

ZYGOTE = "zygote"
FRESH = "fresh"
SANDBOX = Path(__file__).parents[1]
KERNEL = (
    "bpf", "capabilities", "files", "landlock", "mounts", "namespaces", "policy", "seccomp",
    "syscalls",
)  # fmt: skip
ZYGOTE_FILES = {
    "sitecustomize.py": "jail/zygote.py",
    "serving.py": "jail/serving.py",
    "keeper.py": "jail/keeper.py",
    "child.py": "jail/child.py",
    "inheriting.py": "jail/inheriting.py",
    "leaving.py": "jail/leaving.py",
    "order.py": "jail/order.py",
    "packets.py": "jail/packets.py",
    "collecting.py": "collecting.py",
    "wayout.py": "jail/wayout.py",
    "environment.py": "../network/environment.py",
    "inspecting.py": "inspecting.py",
    "valuing.py": "valuing.py",
    "describing.py": "describing.py",
    **{f"kernel/{name}.py": f"kernel/{name}.py" for name in KERNEL},
}


def copy_all(folder: Path) -> None:
    """Copy the files. Raises OSError."""
    folder.mkdir(mode=0o755, exist_ok=True)
    folder.chmod(0o755)
    hook.copy(folder / ZYGOTE, ZYGOTE_FILES, SANDBOX)
    hook.copy(folder / FRESH)


def compile_all(
    folder: Path, interpreters: Iterable[Interpreter], reactor: Any
) -> list[Deferred[None]]:
    """Have each interpreter compile them; until it has, each start does that."""
    return [
        hook.compile_for(folder / name, files, each, reactor)
        for each in interpreters
        for name, files in ((ZYGOTE, ZYGOTE_FILES), (FRESH, hook.FILES))
    ]
