"""The outer box in which hostile code of the tests runs, and nothing of it gets out.

``run`` starts a program in new pid, mount, network, ipc, uts and cgroup namespaces, with control
groups, fresh sized places to write, everything else read-only, and a wall limit at which all of it
ends. As an ordinary user a user namespace and rlimits stand in for the groups, as far as they do.
What proves a box stands in box_canary.py: no attack runs before it has.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

from attrs import frozen

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
MIB = 1024 * 1024
PREFIX = "ry-box-"
MOST_OUTPUT = 8 * MIB
ENDING_S = 20.0


class NoBox(Exception):
    """A box cannot be made here; the text says why."""


@frozen
class Size:
    """What a box holds: bytes, processes, processors, seconds."""

    wall_s: float = 60.0
    memory: int = 2048 * MIB
    pids: int = 512
    cpus: float = 2.0
    tmp: int = 512 * MIB
    shm: int = 128 * MIB


@frozen
class Boxed:
    """What came of a program in a box, and of the box.

    Attributes:
        code: Its exit code, negative where a signal ended it; None at the wall limit.
        late: Whether the wall limit ended it.
        processes: Command lines of what it left running; they ended with the box.
        mounts: Mount points that it left; they ended with the box.
        groups: Control groups that it left below the box's own; they were removed.
        held: What control groups the box had: "memory", "pids", "cpu", "devices", "v2".
        remaining: Processes that were in the groups after the end; there must be none.
        stuck: Groups that could not be removed; there must be none.
    """

    code: int | None
    stdout: bytes
    stderr: bytes
    late: bool
    processes: tuple[str, ...]
    mounts: tuple[str, ...]
    groups: tuple[str, ...]
    held: frozenset[str]
    remaining: tuple[int, ...]
    stuck: tuple[str, ...]

    @property
    def gone(self) -> bool:
        """Whether nothing of the box is left on the machine."""
        return not self.remaining and not self.stuck


def inside_box() -> bool:
    """Tell whether this process runs in an outer box."""
    if not os.uname().nodename.startswith(PREFIX):
        return False
    if os.environ.get("RUNYARD_BOX") != os.uname().nodename:
        return False
    return b"box_inside.py" in Path("/proc/1/cmdline").read_bytes()


def run(
    argv: list[str],
    size: Size = Size(),
    *,
    env: dict[str, str] | None = None,
    cwd: str = "/tmp",
    masked: bool = True,
    user: bool = os.geteuid() != 0,
    uid: int | None = None,
) -> Boxed:
    """Run a program in a box of its own, to its end.

    `masked` keeps the kernel's settings in the box's /proc read-only (without it, an ordinary user
    in the box can mount a /proc of its own). With `uid` the program of root's box is that user's.
    Blocks: tests that use a reactor run inside.

    Raises:
        NoBox: it cannot be made here.
    """
    host = PREFIX + secrets.token_hex(4)
    order: dict[str, Any] = {
        "argv": argv, "cwd": cwd, "host": host, "masked": masked, "user": user, "uid": uid,
        "env": {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "TMPDIR": "/tmp",
                "LANG": "C.UTF-8", **(env or {}), "RUNYARD_BOX": host},
        "wall_s": size.wall_s, "memory": size.memory, "pids": size.pids, "cpus": size.cpus,
        "tmp": size.tmp, "shm": size.shm,
    }  # fmt: skip
    reading, writing = os.pipe()
    program = [sys.executable, "-I", "-S", str(HERE / "box_inside.py")]
    with os.fdopen(reading, "rb") as report:
        try:
            keeper = subprocess.Popen(
                [*program, json.dumps(order | {"report": writing})],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                pass_fds=(writing,), start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(writing)
        stdout, stderr = _output(keeper, size.wall_s)
        facts = _facts(report.read(MOST_OUTPUT))
    return _boxed(facts, stdout, stderr)


def run_python(script: Path, *args: str, size: Size = Size(), **more: Any) -> Boxed:
    """Run a Python script with the tests' own interpreter and packages in a box."""
    return run([sys.executable, "-B", str(script), *args], size, **more)


def run_pytest(*args: str, size: Size = Size(), **more: Any) -> Boxed:
    """Run pytest on the repository in a box."""
    pytest = str(Path(sys.executable).with_name("pytest"))
    return run([pytest, "-q", *args], size, cwd=str(REPOSITORY), **more)


def _output(keeper: subprocess.Popen[bytes], wall_s: float) -> tuple[bytes, bytes]:
    """Wait for the keeper's end, whose pipes every process of the box may hold."""
    stdin, keeper.stdin = keeper.stdin, None  # communicate would close it, which ends the box
    try:
        return keeper.communicate(timeout=wall_s + ENDING_S)
    except BaseException:
        keeper.kill()  # the gate and the box's first process die with it
        keeper.communicate()
        raise
    finally:
        if stdin is not None:
            stdin.close()


def _facts(report: bytes) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for line in report.splitlines():
        facts |= json.loads(line)
    if "failed" in facts:
        raise NoBox(facts["failed"])
    return facts


def _boxed(facts: dict[str, Any], stdout: bytes, stderr: bytes) -> Boxed:
    if "late" not in facts:
        raise NoBox(f"the box's keeper failed: {stderr[-2000:].decode('utf-8', 'replace')}")
    status = facts.get("status")
    if status is None and not facts["late"]:
        raise NoBox(f"the box's first process ended early: {stderr[-2000:]!r}")
    return Boxed(
        None if status is None else os.waitstatus_to_exitcode(status),
        stdout[:MOST_OUTPUT],
        stderr[:MOST_OUTPUT],
        facts["late"],
        tuple(facts.get("processes", ())),
        tuple(facts.get("mounts", ())),
        tuple(facts.get("groups", ())),
        frozenset(facts["held"]),
        tuple(facts["remaining"]),
        tuple(facts["stuck"]),
    )
