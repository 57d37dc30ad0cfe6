"""Puts the files by which a task's process tells of its end where it finds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    copy(folder)
    return [compile_for(folder, FILES, each, reactor) for each in interpreters]


def copy(
    folder: Path, files: Mapping[str, str] = FILES, source: Path = Path(__file__).parent
) -> None:
    """Copy files, by the names that they have there and in `source`. Raises OSError."""
    for name, original in files.items():
        target = folder / name
        for each in (folder, target.parent):
            each.mkdir(mode=0o755, exist_ok=True)
            each.chmod(0o755)
        target.write_bytes((source / original).read_bytes())
        target.chmod(0o644)


def compile_for(
    folder: Path, files: Iterable[str], interpreter: Interpreter, reactor: Any
) -> Deferred[None]:
    """Have an interpreter compile files in a folder; the Deferred never fails."""
    paths = [str(folder / name) for name in files]
    done: Deferred[tuple[bytes, bytes, int]] = getProcessOutputAndValue(
        interpreter.path, ["-I", "-S", "-c", COMPILE, *paths], env={}, path="/", reactor=reactor
    )
    return done.addBoth(_compiled, interpreter.name)


def _compiled(result: Any, name: str) -> None:
    trouble = result if not isinstance(result, tuple) else result[1].decode("utf-8", "replace")
    if trouble:
        log.warn("{name}: the hook is not compiled: {why}", name=name, why=str(trouble)[-500:])
