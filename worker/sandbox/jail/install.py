"""Puts the files that zygotes and tasks' interpreters load where a jail can show them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from runyard.worker.sandbox import hook
from runyard.worker.sandbox.runtimes import Interpreter

ZYGOTE = "zygote"
FRESH = "fresh"
SANDBOX = Path(__file__).parents[1]
ZYGOTE_FILES = {
    "sitecustomize.py": "jail/zygote.py",
    "serving.py": "jail/serving.py",
    "keeper.py": "jail/keeper.py",
    "child.py": "jail/child.py",
    "order.py": "jail/order.py",
    "packets.py": "jail/packets.py",
    "inspecting.py": "inspecting.py",
    "describing.py": "describing.py",
}
KERNEL = (
    "bpf",
    "policy",
    "restricted",
    "syscalls",
    "seccomp",
    "landlock",
    "capabilities",
    "namespaces",
    "mounts",
)


def install(folder: Path, interpreters: Iterable[Interpreter], reactor: Any) -> None:
    """Copy the files, and have each interpreter compile them; until it has, each start does that.

    Raises:
        OSError: they cannot be written.
    """
    files = ZYGOTE_FILES | {f"kernel/{name}.py": f"kernel/{name}.py" for name in KERNEL}
    folder.mkdir(mode=0o755, exist_ok=True)
    folder.chmod(0o755)
    hook.install(folder / ZYGOTE, interpreters, reactor, files, SANDBOX)
    hook.install(folder / FRESH, interpreters, reactor)
