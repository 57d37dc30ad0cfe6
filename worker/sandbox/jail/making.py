"""How a worker's jails are made: one plan, for the probe at start and for the slots."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import Deferred

from runyard.protocols.limits import RANGES, Limits
from runyard.worker.sandbox.interface import Job
from runyard.worker.sandbox.jail import environment
from runyard.worker.sandbox.jail.install import FRESH, ZYGOTE, compile_all, copy_all
from runyard.worker.sandbox.jail.layout import OWN, layout
from runyard.worker.sandbox.jail.order import pack
from runyard.worker.sandbox.rlimits import rlimits
from runyard.worker.sandbox.runtimes import Interpreter

PROGRAM = "main.py"
FOLDER = "/task"
DISK_BYTES = int(RANGES["disk_bytes"].default)
CHANNEL = 3
PROBE_PROCESSES = 4


@frozen
class JailPlan:
    """What every jail of a worker has in common.

    Attributes:
        interpreters: Those of tasks; the one called ``python`` is the zygotes' own.
        task_files: A folder whose files tasks find beside their program, or None.
        beside: The names in it, listed once: one that is put there later could be `main.py`.
        uid_base: The first slot's uid where the worker is root; None where it is not.
        preload: Modules that zygotes import.
    """

    interpreters: tuple[Interpreter, ...]
    task_files: str | None = None
    uid_base: int | None = None
    preload: tuple[str, ...] = ()
    beside: tuple[str, ...] = field(init=False)

    @beside.default
    def _names(self) -> tuple[str, ...]:
        return tuple(sorted(os.listdir(self.task_files))) if self.task_files is not None else ()

    def prepare(self, folder: Path) -> None:
        """Put the files that jails need into a folder. Raises OSError."""
        (folder / "root").mkdir(mode=0o755)
        copy_all(folder / "jail")

    def compile(self, folder: Path, reactor: Any) -> list[Deferred[None]]:
        """Have them compiled by each interpreter, beside the reactor."""
        return compile_all(folder / "jail", self.interpreters, reactor)

    def layout(self, folder: Path) -> dict[str, Any]:
        """Give what a janitor is told once."""
        return layout(
            str(folder / "root"), str(folder / "jail"), self.interpreters, self.task_files,
            os.getuid(), os.getgid(),
        )  # fmt: skip

    def zygote(self, number: int) -> dict[str, Any]:
        """Give what a janitor is told of the zygote of a slot, but for its control groups."""
        uid = None if self.uid_base is None else self.uid_base + number
        own = (os.getuid(), os.getgid()) if uid is None else (uid, uid)
        env = environment.FIXED | {"PYTHONPATH": f"{OWN}/{ZYGOTE}"}
        if self.preload:
            env["RUNYARD_PRELOAD"] = ",".join(self.preload)
        return {
            "uid": uid,
            "argv": self.default.argv(PROGRAM, ()),
            "env": env,
            "settings": [CHANNEL, *own, DISK_BYTES],
            "files": list(self.beside),
        }

    @property
    def default(self) -> Interpreter:
        """The interpreter that the zygotes are."""
        return next(each for each in self.interpreters if each.name == "python")

    def order(self, job: Job, *, grouped: bool) -> bytes:
        """Give a job's order to its child.

        `grouped` says whether a control group bounds memory and processes, of all of it together
        and with a counter of what it refused: then these limits are not a process's too.
        """
        limits = job.limits
        named = rlimits(limits, slots=1, own_uid=False)
        if grouped:
            del named["RLIMIT_DATA"]
        else:
            named["RLIMIT_NPROC"] = (limits.processes + 1, limits.processes + 1)  # and its keeper
        numbers = [(getattr(resource, name), *both) for name, both in named.items()]
        env = environment.of(job)
        interpreter = next(each for each in self.interpreters if each.name == job.language)
        other = interpreter is not self.default
        fresh = job.fresh or other or environment.needs_fresh(job)
        argv = interpreter.argv(PROGRAM, job.args) if fresh else ()
        if fresh:
            env = environment.with_hook(env, f"{OWN}/{FRESH}")
        return pack(
            limits.wall_s, job.lease, limits.disk_bytes, job.network, numbers, argv, job.args, env
        )

    def probe_order(self, args: tuple[str, ...] = (), language: str = "python") -> bytes:
        """Give an order for the self-attack, or for another program of the probe's."""
        limits = Limits(processes=PROBE_PROCESSES)
        job = Job("probe", language, b"", b"", args, (), limits, limits.wall_s)
        return self.order(job, grouped=False)
