"""Real slots for the tests that start them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest_twisted
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from runyard.protocols.limits import Limits
from runyard.worker.jobs import JobsFolder
from runyard.worker.network.gateway import Gateway
from runyard.worker.sandbox.cgroups import finding
from runyard.worker.sandbox.instance import Instance
from runyard.worker.sandbox.interface import Ending, Job
from runyard.worker.sandbox.jail.making import JailPlan
from runyard.worker.sandbox.jail.metering import Meters
from runyard.worker.sandbox.jail.sandbox import JailSandbox
from runyard.worker.sandbox.levels import FULL, NAMESPACES, NONE, RESTRICTED
from runyard.worker.sandbox.plain import PlainSandbox
from runyard.worker.sandbox.restricting import restriction
from runyard.worker.sandbox.runtimes import Account, find_interpreters, task_account

reactor: Any = installed


ACCOUNT = task_account()


INTERPRETERS = find_interpreters([], ACCOUNT)


ROOT = os.geteuid() == 0
UIDS = 0x60000000 + secrets.randbelow(1 << 20) * 16
"""The kernel counts a uid's processes all over the machine, other tests' too."""
UNUSED = Account("a uid of nobody's", UIDS + 8, UIDS + 8) if ROOT else None
JAIL = FULL if ROOT else NAMESPACES
"""The best level that these tests can have, if this system allows it at all."""
LEVELS = (NONE, JAIL)


class Slots:
    """A started sandbox of two slots, at a level; of one at `restricted`."""

    sandbox: Any

    def __init__(
        self,
        state: Path,
        task_files: tuple[tuple[str, str], ...] = (),
        level: str = NONE,
        gateway: Gateway | None = None,
    ) -> None:
        self.jobs = JobsFolder(reactor, state)
        self.jobs.make()
        if level == RESTRICTED:
            held = restriction(INTERPRETERS, task_files, UNUSED)
            self.sandbox = PlainSandbox(
                reactor, 1, self.jobs, INTERPRETERS, UNUSED, task_files, held
            )
        elif level == NONE:
            self.sandbox = PlainSandbox(reactor, 2, self.jobs, INTERPRETERS, ACCOUNT, task_files)
        else:
            theirs = os.path.dirname(task_files[0][1]) if task_files else None
            self.sandbox = jails(state, self.jobs, level, theirs, gateway=gateway)
        self.sandbox.start()

    def start(
        self, code: str | bytes, started: Callable[[], None] = lambda: None, **more: Any
    ) -> Any:
        limits = Limits(**{k: more.pop(k) for k in list(more) if k in Limits.__annotations__})
        fields: dict[str, Any] = {"stdin": b"", "args": (), "env": (), "lease": 600.0}
        raw = code.encode() if isinstance(code, str) else code
        job = Job("a.1", "python", raw, limits=limits, **(fields | more))
        return self.sandbox.run(job, started)

    def run(self, code: str | bytes, **more: Any) -> Deferred[Ending]:
        done: Deferred[Ending] = self.start(code, **more).done
        return done

    def helpers(self) -> list[psutil.Process]:
        """List those that live; what else the sandbox runs at its start is none."""
        return [c for c in psutil.Process().children() if is_helper(c)]


def is_helper(process: psutil.Process) -> bool:
    try:
        return any(part.endswith("launcher.py") for part in process.cmdline())
    except psutil.Error:  # it has ended
        return False


def jails(
    state: Path,
    jobs: JobsFolder,
    level: str,
    task_files: str | None = None,
    gateway: Gateway | None = None,
) -> JailSandbox:
    plan = JailPlan(INTERPRETERS, task_files, UIDS if ROOT else None)
    if level == NAMESPACES:
        return JailSandbox(reactor, 2, jobs, plan, None, gateway)
    base, _ = finding.look()
    base, _ = finding.prepare(base, [os.getpid()])
    meters = Meters(reactor, base, Instance(str(state)))
    return JailSandbox(reactor, 2, jobs, plan, meters, gateway)


@contextmanager
def running_slots(state: Path, **how: Any) -> Iterator[Slots]:
    """Have them for a while, and see that nothing of them is left."""
    made = Slots(state, **how)
    yield made
    pytest_twisted.blockon(made.sandbox.stop())
    assert not list(made.jobs.path.glob("[0-9]*/*")), "no folder of a job is left"
    pytest_twisted.blockon(made.jobs.remove())
    assert not made.jobs.path.exists()
    assert not made.helpers()


def marked(marker: str) -> list[int]:
    everyone = psutil.process_iter(["cmdline"])
    return [p.pid for p in everyone if marker in (p.info["cmdline"] or ())]


DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        code = 'import time; time.sleep(600)'
        os.execv(sys.executable, [sys.executable, '-c', code, 'ry_daemon'])
    os._exit(0)
os.wait()
print('left behind', flush=True)
"""


async def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    end = reactor.seconds() + seconds
    while not true():
        assert reactor.seconds() < end
        await deferLater(reactor, 0.01)


def all_ready(slots: Slots) -> bool:
    made = slots.sandbox.pool.slots
    return len(made) == 2 and all(slot.ready for slot in made)
