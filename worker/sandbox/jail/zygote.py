"""The slot's zygote: an interpreter that waits, jailed, and becomes each task in turn.

In the jail a copy of this file is the interpreter's ``sitecustomize``: it is loaded before the
program that the command line names, and does not return. For each task it clones a keeper (pid 1
of new namespaces, keeper.py), which forks the task's process (child.py), and there alone it
returns: the interpreter goes on as it always does, and runs ``main.py``. So a task has no frame of
ours under it, and ends as any program does. No user code ever runs in the zygote itself.

It is told what it needs by the variable RUNYARD_ZYGOTE (keeper.Settings), and imports first what
RUNYARD_PRELOAD names. Runs on CPython 3.9 and later.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SETTINGS = "RUNYARD_ZYGOTE"
PRELOAD = "RUNYARD_PRELOAD"


def preload(names: list[str]) -> None:
    """Import what tasks will find imported already. Raises SystemExit where that cannot be."""
    for name in names:
        try:
            __import__(name)
        except BaseException as error:  # noqa: BLE001 (SystemExit among them)
            raise SystemExit(f"--preload {name}: {type(error).__name__}: {error}") from None
    threads = len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else 1
    if threads != 1:
        raise SystemExit(
            f"--preload {','.join(names)}: importing leaves {threads - 1} threads running, which"
            " a fork would lose"
        )


def import_ours() -> Any:
    """Import what serves, and leave no trace of it among the modules: a program's come first."""
    before = set(sys.modules)
    sys.path.insert(0, FOLDER)
    try:
        import serving  # type: ignore[import-not-found]

        return serving
    finally:
        sys.path.remove(FOLDER)
        for name in set(sys.modules) - before:
            del sys.modules[name]
        for path in [each for each in sys.path_importer_cache if each.startswith(FOLDER)]:
            del sys.path_importer_cache[path]


FOLDER = os.path.dirname(os.path.abspath(__file__))
if __name__ == "sitecustomize" and SETTINGS in os.environ:
    preload([each for each in os.environ.pop(PRELOAD, "").split(",") if each])
    import_ours().run(os.environ.pop(SETTINGS))
