"""Programs in interpreters of this machine, with the hook's files and without them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from attrs import frozen

from runyard.worker.inspect import raised
from runyard.worker.sandbox import hook
from runyard.worker.sandbox.inputs import Said, memory_file

SUPPORTED = [f"3.{minor}" for minor in range(8, 14)]


def interpreters() -> list[Path]:
    """Find the interpreters here, our own first; of a version manager's one a version."""
    managed = sorted((Path.home() / ".pyenv" / "versions").glob("3.*/bin/python"))
    chosen = [each for each in managed if each.parts[-3].rpartition(".")[0] in SUPPORTED]
    own = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    found = [own, Path("/usr/bin/python3").resolve(), *(each.resolve() for each in chosen)]
    return list(dict.fromkeys(each for each in found if each.exists()))


@frozen
class Run:
    """What came of a program."""

    status: int
    stdout: bytes
    stderr: bytes
    told: bytes

    @property
    def seen(self) -> tuple[int, bytes, bytes]:
        out, err = (re.sub(rb"0x[0-9a-f]+", b"0x", each) for each in (self.stdout, self.stderr))
        return self.status, out, err

    @property
    def record(self) -> dict[str, Any]:
        """The record as a worker reads it."""
        found = raised(self.told)
        assert found is not None, (self.told, self.stderr)
        return found

    @property
    def raw(self) -> dict[str, Any]:
        """The record as it was written."""
        found: dict[str, Any] = json.loads(self.told)
        return found


class Bench:
    """A folder with the hook's files, and one that programs run in."""

    def __init__(self, folder: Path) -> None:
        self.hook, self.cwd = folder / "hook", folder / "cwd"
        self.hook.mkdir()
        for name, source in hook.FILES.items():
            shutil.copy(Path(hook.__file__).with_name(source), self.hook / name)

    def run(
        self, python: Path, code: str | bytes, *, hooked: bool = True, stdin: bytes = b"",
        env: dict[str, str] | None = None,
    ) -> Run:  # fmt: skip
        """Run a program as the sandbox would, in a new folder of always the same name."""
        shutil.rmtree(self.cwd, ignore_errors=True)
        self.cwd.mkdir()
        raw = code.encode() if isinstance(code, str) else code
        (self.cwd / "main.py").write_bytes(raw)
        given = {"PATH": os.environ["PATH"], "HOME": str(self.cwd), **(env or {})}
        if hooked:
            paths = [str(self.hook), *filter(None, [given.get("PYTHONPATH")])]
            given["PYTHONPATH"] = os.pathsep.join(paths)
        source = memory_file(stdin)
        said = Said(source, len(stdin))
        done = subprocess.run(
            [python, "-s", "-u", "-X", "utf8", "main.py"],
            stdin=source, capture_output=True, cwd=self.cwd, env=given, check=False, timeout=60,
        )  # fmt: skip
        os.close(source)
        told = said.take(str(self.cwd))
        return Run(done.returncode, done.stdout, done.stderr, told)

    def alike(self, python: Path, code: str, **more: Any) -> Run:
        """Run a program with and without the hook; nobody can tell which is which."""
        bare = self.run(python, code, hooked=False, **more)
        told = self.run(python, code, **more)
        assert told.seen == bare.seen, (told, bare)
        assert bare.told == b""
        return told
