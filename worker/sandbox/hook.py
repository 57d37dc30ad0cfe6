"""Puts the files by which a task's process tells of its end where it finds them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.logger import Logger

from runyard.worker.sandbox.runtimes import Interpreter

FILES = {
    "sitecustomize.py": "inspecting.py",
    "valuing.py": "valuing.py",
    "describing.py": "describing.py",
}
COMPILE = (
    "import os, sys, py_compile as p; os.umask(0o22); m = p.PycInvalidationMode.UNCHECKED_HASH;"
    " [p.compile(f, doraise=True, invalidation_mode=m) for f in sys.argv[1:]]"
)

log = Logger()


def install(
    folder: Path, interpreters: Iterable[Interpreter], reactor: Any
) -> list[Deferred[None]]:
    """Copy the files, and have each interpreter compile them; until it has, tasks do that.

    Each Deferred fires when an interpreter is done, and never fails.

    Raises:
        OSError: they cannot be written.
    """
    folder.mkdir(mode=0o755, exist_ok=True)
    folder.chmod(0o755)
    for name, source in FILES.items():
        target = folder / name
        target.write_bytes(Path(__file__).with_name(source).read_bytes())
        target.chmod(0o644)
    paths = [str(folder / name) for name in FILES]
    compiling = []
    for interpreter in interpreters:
        done: Deferred[tuple[bytes, bytes, int]] = getProcessOutputAndValue(
            interpreter.path, ["-I", "-S", "-c", COMPILE, *paths], env={}, path="/", reactor=reactor
        )
        compiling.append(done.addBoth(_compiled, interpreter.name))
    return compiling


def _compiled(result: Any, name: str) -> None:
    trouble = result if not isinstance(result, tuple) else result[1].decode("utf-8", "replace")
    if trouble:
        log.warn("{name}: the hook is not compiled: {why}", name=name, why=str(trouble)[-500:])
