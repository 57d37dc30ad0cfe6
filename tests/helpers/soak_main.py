"""Inside an outer box: runs many tasks in jails, one in ten hostile; what stands is told as JSON.

``soak_main.py TASKS LEVEL``. Lines: ``{"wrong": text}`` for each end that is not as it must be, and
``{"at": tasks, ...}`` for what stood when so many had ended and all was quiet.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
from attack_list import BY_NAME
from box import inside_box
from jailed import Jails
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater, react

from runyard.protocols.errors import Refused
from runyard.protocols.limits import MIB, Limits
from runyard.protocols.tasks import Ended
from runyard.worker.executor import Executor
from runyard.worker.sandbox.interface import Job

SLOTS = 2
LOOKS = 10
LIMITS = Limits(wall_s=1.5, memory_bytes=64 * MIB, processes=24, disk_bytes=16 * MIB)
HOSTILE = [
    BY_NAME[name]
    for name in (
        "fork_count", "memory_list", "tmpfs_bomb", "sparse_file", "output_flood", "daemon",
        "pipe_holder", "kill_first", "kill_group", "crash", "foreign_descriptors", "ptrace",
        "unshare", "mounts", "setuid", "left_files", "poisoned_modules", "poisoned_state", "ipc",
        "stdin_truncate", "escapes", "broken_text", "fake_results", "zombie_flood", "thread_bomb",
        "shared_memory", "deep_folders", "stdout_mode", "memfd_exec",
    )
]  # fmt: skip
MIXED = (
    "print({0})",
    "import sys; print({0}); print('x' * 20000, file=sys.stderr)",
    "import subprocess; subprocess.run(['/bin/echo', '{0}'])",
    "open('x', 'wb').write(b'x' * 100000); print({0})",
    "print({0}); 1 / 0",
    "import json, threading\nt = threading.Thread(target=print, args=({0},)); t.start(); t.join()",
    "x = bytearray(b'x') * (20 << 20); print({0})",
    "import sys; print({0}); sys.exit(3)",
    "import asyncio\nasync def f(): print({0})\nasyncio.run(f())",
)


def say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)  # noqa: T201


class Soak:
    """Many tasks, two at a time."""

    def __init__(self, reactor: Any, jails: Jails) -> None:
        self._reactor = reactor
        self._jails = jails
        self._executor = Executor(reactor, jails.sandbox, SLOTS)
        self._next = 0

    async def run(self, tasks: int) -> None:
        """Run them, and look around ten times."""
        for _ in range(LOOKS):
            until = self._next + tasks // LOOKS
            lines = [Deferred.fromCoroutine(self._line(until)) for _ in range(SLOTS)]
            await gatherResults(lines, consumeErrors=True)
            await self._quiet()
            say(at=self._next, **self.standing())

    async def _line(self, until: int) -> None:
        while self._next < until:
            number = self._next
            self._next += 1
            if number % 10 == 9:
                attack = HOSTILE[number // 10 % len(HOSTILE)]
                ended = await self._task(number, attack.code())
                good = ended.outcome.value in ("success", "runtime_error")
            else:
                code = MIXED[number % len(MIXED)].format(number)
                ended = await self._task(number, code.encode())
                good = ended.stdout == f"{number}\n".encode()
            if not good:
                say(wrong=f"{number}: {ended.reason} {ended.detail} {ended.stderr[-200:]!r}")

    async def _task(self, number: int, code: bytes) -> Ended:
        done: Deferred[Ended] = Deferred()
        job = Job(f"a{number}.1", "python", code, b"input\n", (), (), LIMITS, lease=600.0)
        until = self._reactor.seconds() + 15
        while True:
            try:
                self._executor.execute(job, lambda: None, done.callback)
                return await done
            except Refused:
                if self._reactor.seconds() > until:
                    raise
                await deferLater(self._reactor, 0.002)

    async def _quiet(self) -> None:
        """Wait until each slot has one helper, which waits for a task."""
        until = self._reactor.seconds() + 15
        while self._reactor.seconds() < until:
            slots = self._jails.sandbox.pool.slots
            groups = len({slot.number for slot in slots}) == len(slots) == SLOTS
            if groups and all(slot.ready for slot in slots) and not zombies():
                return
            await deferLater(self._reactor, 0.01)

    def standing(self) -> dict[str, Any]:
        """Give what must not grow."""
        me = psutil.Process()
        janitor = psutil.Process(self._jails.sandbox.janitor.pid or 0)
        zygotes = janitor.children()
        found = psutil.Process(1).children(recursive=True)
        return {
            "descriptors": me.num_fds(),
            "janitor_descriptors": janitor.num_fds(),
            "processes": len(found),
            "zombies": zombies(),
            "groups": sum(1 for _ in os.walk("/sys/fs/cgroup")),
            "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
            "memory": me.memory_info().rss,
            "janitor_memory": janitor.memory_info().rss,
            "zygotes_memory": max(each.memory_info().rss for each in zygotes),
        }


def zombies() -> int:
    found = psutil.process_iter(["status"])
    return sum(each.info["status"] == psutil.STATUS_ZOMBIE for each in found)


async def soak(reactor: Any, tasks: int, level: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        jails = Jails(Path(folder), level, slots=SLOTS)
        try:
            await Soak(reactor, jails).run(tasks)
        finally:
            await jails.stop()


if __name__ == "__main__":
    assert inside_box(), "hostile tasks run in an outer box only"
    react(lambda reactor: Deferred.fromCoroutine(soak(reactor, int(sys.argv[1]), sys.argv[2])))
