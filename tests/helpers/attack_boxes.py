"""Runs a list of attacks against a sandbox, all in one outer box, from outside of it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import sysconfig
from typing import Any

from attack_ground import SECRET
from attrs import evolve, frozen
from box import HERE, MIB, Boxed, NoBox, Size, run

QUICK_SIZE = Size(wall_s=60, memory=768 * MIB)
WHOLE_SIZE = Size(wall_s=480)


@frozen
class Told:
    """What a run told: each attack's faults by its name, how each ended, and the box's end."""

    wrong: dict[str, list[str]]
    ended: dict[str, str]
    took_s: dict[str, float]
    boxed: Boxed


def anybodys_python() -> str:
    """Give an interpreter of our version that no folder of root's keeps from others.

    Raises:
        NoBox: there is none.
    """
    found = "/usr/bin/python3"
    code = "import sys; print(sys.version_info[:2])"
    with contextlib.suppress(OSError):
        said = subprocess.run([found, "-c", code], capture_output=True, text=True, check=False)
        if said.stdout.strip() == str(sys.version_info[:2]):
            return found
    raise NoBox(f"no {found} of version {sys.version_info[:2]}")


def run_attacks(
    factory: str,
    attacks: str,
    *names: str,
    size: Size = WHOLE_SIZE,
    uid: int | None = None,
    **more: Any,
) -> Told:
    """Run them; `factory` and `attacks` are ``MODULE:NAME``, as in attack_main.py.

    With `uid` that ordinary user runs the sandbox, on an interpreter that anybody can run.

    Raises:
        NoBox: there can be none here.
    """
    python = sys.executable if uid is None else anybodys_python()
    path = f"{HERE}{os.pathsep}{sysconfig.get_path('purelib')}"
    env = {SECRET: secrets.token_hex(16), "PYTHONPATH": path}
    argv = [python, "-B", str(HERE / "attack_main.py"), factory, attacks, *names]
    boxed = run(argv, size, env=env, uid=uid, masked=uid is None, **more)
    results = [json.loads(line) for line in boxed.stdout.splitlines() if line.startswith(b"{")]
    return Told(
        {each["name"]: each["wrong"] for each in results},
        {each["name"]: each["ended"] for each in results},
        {each["name"]: each["took_s"] for each in results},
        evolve(boxed, stdout=b""),
    )
