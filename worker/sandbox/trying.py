"""Level `restricted` tried at start: a helper as the slot will have, its job an attack."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from runyard.protocols.limits import Limits
from runyard.worker.jobs import JobsFolder
from runyard.worker.sandbox.interface import Job
from runyard.worker.sandbox.jail.direct import DirectJail, JailFailed, Seen
from runyard.worker.sandbox.levels import RESTRICTED, slots_at
from runyard.worker.sandbox.plain import LAUNCHER, PlainSandbox, ordered
from runyard.worker.sandbox.restricting import Restriction, restriction
from runyard.worker.sandbox.rlimits import rlimits
from runyard.worker.sandbox.runtimes import (
    Account,
    Interpreter,
    RuntimeUnusable,
    find_interpreters,
)

ATTACK = Path(__file__).with_name("confinedattack.py")
PROCESSES = 4
READY_S = 20.0
ATTACK_S = 30.0

log = Logger()


class Restricted:
    """Level `restricted` for these interpreters and task files, tried.

    Attributes:
        why_not: What stops it, a sentence; None where it was seen to hold.
    """

    def __init__(
        self,
        account: Account | None,
        python: Sequence[str],
        task_files: tuple[tuple[str, str], ...],
    ) -> None:
        self._account = account
        self._task_files = task_files
        try:
            self._interpreters = find_interpreters(list(python), account)
            self._held = restriction(self._interpreters, task_files, account)
            default = next(each for each in self._interpreters if each.name == "python")
            self.why_not = why_not(self._held, default, account)
        except RuntimeUnusable as error:
            self.why_not = f"isolation 'restricted' is not to be had here: {error}"

    def sandbox(self, reactor: Any, jobs: JobsFolder, wanted: int) -> PlainSandbox:
        """Make the sandbox, of one slot however many are wanted."""
        slots = slots_at(RESTRICTED, wanted)
        if slots < wanted:
            log.warn(
                "isolation 'restricted' is for one task at a time: {slots} slot, not {wanted}",
                slots=slots, wanted=wanted,
            )  # fmt: skip
        return PlainSandbox(
            reactor, slots, jobs, self._interpreters, self._account, self._task_files, self._held
        )


def why_not(
    restriction: Restriction, interpreter: Interpreter, account: Account | None
) -> str | None:
    """Confine a program as the worker will, and have it attack; None where that holds."""
    try:
        breaches = attack(restriction, interpreter, account)
    except (JailFailed, OSError) as error:
        return f"isolation 'restricted' is not to be had here: {error}"
    if breaches:
        return f"isolation 'restricted' does not hold here: {'; '.join(breaches)}"
    return None


def attack(
    restriction: Restriction, interpreter: Interpreter, account: Account | None
) -> list[str]:
    """Run the self-attack; what it got through to, a text each.

    Raises:
        JailFailed, OSError: a program cannot be confined.
    """
    name = f"runyard-probe-{secrets.token_hex(8)}"
    with (
        tempfile.TemporaryDirectory(prefix="runyard-probe-") as base,
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        abstract.bind(f"\0{name}")
        abstract.listen()
        folder = Path(base)
        folder.chmod(0o711)
        secret, shared = _ground(folder)
        port = str(listening.getsockname()[1])
        args = (str(secret), str(shared), str(os.getpid()), port, name)
        seen = _run(restriction, folder, interpreter, account, args)
        if seen.status != 0:
            raise JailFailed(
                f"the self-attack ended with status {seen.status}:"
                f" {seen.stderr.decode('utf-8', 'replace')[-500:]}"
            )
        return seen.stdout.decode("utf-8", "replace").splitlines()


def _ground(folder: Path) -> tuple[Path, Path]:
    """Make what nothing but the confinement keeps from the attack."""
    secret, shared = folder / "secret", folder / "shared"
    secret.write_text("secret")
    secret.chmod(0o666)
    shared.mkdir()
    shared.chmod(0o777)  # the attack goes for it
    long = shared / "long"
    long.write_text("long")
    long.chmod(0o666)
    return secret, shared


def _run(
    restriction: Restriction,
    folder: Path,
    interpreter: Interpreter,
    account: Account | None,
    args: tuple[str, ...],
) -> Seen:
    cwd = str(folder / "slot" / "1")
    limits = Limits(processes=PROCESSES)
    job = Job("probe", "python", b"", b"", args, (), limits, limits.wall_s)
    order: dict[str, Any] = ordered(job, interpreter, cwd, str(folder / "hook"), account) | {
        "rlimits": rlimits(limits, slots=1, own_uid=False)
    }
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, tempfile.TemporaryFile() as log:
        with theirs:
            helper = subprocess.Popen(  # noqa: S603 (our own program)
                [
                    sys.executable, "-I", "-S", str(LAUNCHER), str(theirs.fileno()),
                    str(folder / "slot"), restriction.text(str(folder / "hook")),
                ],
                env={}, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                pass_fds=[theirs.fileno()],
            )  # fmt: skip
        try:
            jail = DirectJail(ours, ours, log)
            jail.wait_ready(READY_S)
            return jail.run(json.dumps(order).encode(), ATTACK.read_bytes(), ATTACK_S)
        finally:
            ours.close()
            _end(helper)


def _end(helper: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        helper.wait(READY_S)
    helper.kill()
    helper.wait()
