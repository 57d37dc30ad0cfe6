"""Runs a list of attacks against a sandbox, all in one outer box, from outside of it."""

from __future__ import annotations

import json
import secrets
from typing import Any

from attack_ground import SECRET
from attrs import evolve, frozen
from box import HERE, MIB, Boxed, Size, run_python

QUICK_SIZE = Size(wall_s=60, memory=768 * MIB)
WHOLE_SIZE = Size(wall_s=480)


@frozen
class Told:
    """What a run told: each attack's faults by its name, how each ended, and the box's end."""

    wrong: dict[str, list[str]]
    ended: dict[str, str]
    took_s: dict[str, float]
    boxed: Boxed


def run_attacks(
    factory: str, attacks: str, *names: str, size: Size = WHOLE_SIZE, **more: Any
) -> Told:
    """Run them; `factory` and `attacks` are ``MODULE:NAME``, as in attack_main.py.

    Raises:
        NoBox: there can be none here.
    """
    env = {SECRET: secrets.token_hex(16), "PYTHONPATH": str(HERE)}
    script = HERE / "attack_main.py"
    boxed = run_python(script, factory, attacks, *names, size=size, env=env, **more)
    results = [json.loads(line) for line in boxed.stdout.splitlines() if line.startswith(b"{")]
    return Told(
        {each["name"]: each["wrong"] for each in results},
        {each["name"]: each["ended"] for each in results},
        {each["name"]: each["took_s"] for each in results},
        evolve(boxed, stdout=b""),
    )
