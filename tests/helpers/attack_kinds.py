"""What is expected of an attack, as a value, and the judging of what came of one: pure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

FOLDER = Path(__file__).resolve().parent.parent / "attacks"
LEVELS = ("full", "namespaces", "restricted")
FULL = frozenset({"full"})
SPACES = frozenset({"full", "namespaces"})
ALL = frozenset(LEVELS)
MIB = 1024 * 1024
SLACK_S = 3.0

ENDS = frozenset({"success"})
FAILS = frozenset({"exception", "exit_code", "signal"})
MEMORY = FAILS | {"memory_limit"}
PROCESSES = FAILS | ENDS | {"process_limit"}
TIME = frozenset({"timeout", "cpu_limit"})
DISK = FAILS | ENDS | {"disk_limit", "memory_limit"}


@frozen
class Attack:
    """One program of tests/attacks and what must come of it.

    Attributes:
        name: The program's file, without ``.py``.
        group: What it goes against; a heading in docs/security.md.
        holds: The levels at which nothing may be REACHED.
        by: The mechanism that stops it, in words.
        ends: What it may end as: "success" or reasons.
        at_full: What it must end as at level `full`, where that is one thing.
        says: Words that its output must hold, where it ends by itself.
        limits: Limits other than the defaults.
        wall_s: Its wall limit; its end must come within some seconds of it.
        quick: Whether it belongs to the short selection.
        processors: How many processors' time it may have used at most at level `full`.
        env: Variables for it beside those of the run.
        network: Whether it asks for the network.
    """

    name: str
    group: str
    holds: frozenset[str]
    by: str
    ends: frozenset[str] = ENDS
    at_full: str | None = None
    says: str = "done"
    limits: dict[str, float] = field(factory=dict)
    wall_s: float = 5.0
    quick: bool = False
    stdin: bytes = b"input\n" * 1000
    processors: float | None = None
    env: tuple[tuple[str, str], ...] = ()
    network: bool = False

    def code(self) -> bytes:
        """Give the whole program, with what stands before and behind each."""
        head = (FOLDER / "prelude.py").read_bytes()
        return head + (FOLDER / f"{self.name}.py").read_bytes() + b"\nsay('done')\n"

    def soon(self) -> Attack:
        """Give it as it is in the short selection: ended earlier where it does not end itself."""
        return evolve(self, wall_s=1.5) if self.says == "" and TIME & self.ends else self


@frozen
class Seen:
    """What came of an attack: the verdict's outcome or reason, output, seconds."""

    ended: str
    detail: str
    stdout: bytes
    stderr: bytes
    wall_s: float
    cpu_s: float
    took_s: float


def wrong_in(attack: Attack, seen: Seen, level: str, secret: bytes) -> list[str]:
    """List what is not as it must be, in what an attack itself shows."""
    wrong = []
    output = seen.stdout + seen.stderr
    if level in attack.holds:
        wrong += [f"got through: {line!r}" for line in through(output)]
    if secret in output:
        wrong.append("it printed the worker's secret")
    allowed = {attack.at_full} if attack.at_full and level == "full" else attack.ends
    if seen.ended not in allowed:
        wrong.append(f"ended as {seen.ended} ({seen.detail}), not as {sorted(allowed)}")
    says = attack.says if level in attack.holds else "done"
    if seen.ended == "success" and says.encode() not in seen.stdout:
        wrong.append(f"did not say {says!r}: {output[-300:]!r}")
    if seen.ended == "exception" and re.search(rb"NameError|SyntaxError", output):
        wrong.append(f"the program itself is wrong: {output[-300:]!r}")
    if seen.took_s > attack.wall_s + SLACK_S:
        wrong.append(f"its end came after {seen.took_s:.1f} s")
    return wrong + _processors(attack, seen, level)


def _processors(attack: Attack, seen: Seen, level: str) -> list[str]:
    if attack.processors is None or level != "full" or not seen.wall_s:
        return []
    used = seen.cpu_s / seen.wall_s
    return [f"it used {used:.2f} processors"] if used > attack.processors else []


def through(output: bytes) -> list[bytes]:
    """Give the lines that say that something was reached."""
    return [line[:200] for line in output.splitlines() if line.startswith(b"REACHED")]


def table(attacks: tuple[Attack, ...]) -> str:
    """Render the table of docs/security.md: a row an attack, by group."""
    rows = ["| attack | what stops it | at level |", "| --- | --- | --- |"]
    group = ""
    for attack in attacks:
        if attack.group != group:
            group = attack.group
            rows.append(f"| **{group}** | | |")
        levels = ", ".join(level for level in LEVELS if level in attack.holds)
        rows.append(f"| {title(attack)} | {attack.by} | {levels} |")
    return "\n".join(rows) + "\n"


def title(attack: Attack) -> str:
    """Give what a program does: its docstring's first line, without the full stop."""
    text = (FOLDER / f"{attack.name}.py").read_text(encoding="utf-8")
    found: Any = re.search(r'^"""(.*?)\.?"""', text, re.MULTILINE)
    return str(found[1])
