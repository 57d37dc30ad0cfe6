"""A sandbox of jails for the tests, with a plan of their own; what becomes of a task, judged."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from slots import INTERPRETERS, ROOT, UIDS, reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from runyard.protocols.limits import Limits
from runyard.protocols.tasks import Ended
from runyard.worker.jobs import JobsFolder
from runyard.worker.sandbox.cgroups import finding
from runyard.worker.sandbox.instance import Instance
from runyard.worker.sandbox.interface import Job, SandboxError
from runyard.worker.sandbox.jail.making import JailPlan
from runyard.worker.sandbox.jail.metering import Meters
from runyard.worker.sandbox.jail.sandbox import JailSandbox
from runyard.worker.sandbox.levels import FULL, NAMESPACES
from runyard.worker.sandbox.probing import groups
from runyard.worker.verdict import verdict

WITHOUT_GROUPS = "; ".join(groups()[1].values())
JAIL_LEVELS: list[Any] = [
    pytest.param(
        FULL, marks=pytest.mark.skipif(bool(WITHOUT_GROUPS), reason=f"no groups: {WITHOUT_GROUPS}")
    ),
    NAMESPACES,
]
"""Both levels of jails; `full` is skipped where control groups cannot be made."""
FULL_FIRST = [JAIL_LEVELS[0], pytest.param(NAMESPACES, marks=pytest.mark.slow)]
"""The same; only the first is quick."""


class Jails:
    """A started sandbox of jails.

    `more` is given to its plan, or to the sandbox where it is named in `SANDBOX`.
    """

    def __init__(self, state: Path, level: str, slots: int = 1, **more: Any) -> None:
        self.jobs = JobsFolder(reactor, state)
        self.jobs.make()
        self.meters = None
        most_runs = more.pop("most_runs", None)
        if level == FULL:
            base, _ = finding.look()
            base, _ = finding.prepare(base, [os.getpid()])
            self.meters = Meters(reactor, base, Instance(str(state)))
        base_uid = UIDS if ROOT else None
        plan = JailPlan(**({"interpreters": INTERPRETERS, "uid_base": base_uid} | more))
        self.sandbox = JailSandbox(reactor, slots, self.jobs, plan, self.meters)
        if most_runs is not None:
            self.sandbox.pool._most_runs = most_runs
        self.sandbox.start()
        self._serial = itertools.count(1)

    def start(self, code: str, **more: Any) -> Any:
        """Start a program now. Raises SandboxError."""
        limits = Limits(**{k: more.pop(k) for k in list(more) if k in Limits.__annotations__})
        fields: dict[str, Any] = {
            "language": "python", "stdin": b"", "args": (), "env": (), "lease": 600.0,
        }  # fmt: skip
        attempt = f"a{next(self._serial)}.1"
        job = Job(attempt, code=code.encode(), limits=limits, **(fields | more))
        return self.sandbox.run(job, lambda: None)

    async def soon(self, code: str, **more: Any) -> Any:
        """Start a program as soon as there is a slot for it."""
        until = reactor.seconds() + 15
        while True:
            try:
                return self.start(code, **more)
            except SandboxError as error:
                if "no slot is ready" not in str(error) or reactor.seconds() > until:
                    raise
                await deferLater(reactor, 0.01)

    async def run(self, code: str, **more: Any) -> Ended:
        """Run a program to its end, and judge it."""
        limits = Limits(**{k: more[k] for k in more if k in Limits.__annotations__})
        job = await self.soon(code, **more)
        return verdict(await job.done, limits, None, self.sandbox.isolation, code.encode())

    async def says(self, code: str, **more: Any) -> str:
        """Give what a program prints, which must end well."""
        ended = await self.run(code, **more)
        assert (ended.outcome.value, ended.stderr) == ("success", b""), ended
        return ended.stdout.decode()

    def stop(self) -> Deferred[None]:
        """End it."""

        async def stop() -> None:
            await self.sandbox.stop()
            await self.jobs.remove()

        return Deferred.fromCoroutine(stop())


def stopped(jails: Jails) -> None:
    """End it, from a fixture."""
    pytest_twisted.blockon(jails.stop())
