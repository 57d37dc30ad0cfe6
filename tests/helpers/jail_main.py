"""A worker's sandbox in a process of its own, to be killed: ``jail_main.py STATE LEVEL MARKER``.

It keeps two slots busy with programs of many kinds, and prints a line of JSON when it is up and at
each end. With ``WALL LEASE`` behind, it runs one program that would never end, with these limits.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from slots import reactor

from runyard.protocols.limits import MIB, Limits
from runyard.worker.jobs import JobsFolder
from runyard.worker.network.gateway import Gateway
from runyard.worker.sandbox.accounts import uid_base
from runyard.worker.sandbox.choosing import Wishes, make_sandbox
from runyard.worker.sandbox.interface import Job, SandboxError

LEAVES = """
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        code = 'print(1, flush=True); import time; time.sleep(600)'
        os.execv(sys.executable, [sys.executable, '-c', code, *sys.argv[1:]])
    os._exit(0)
os.wait()
"""
PROGRAMS = (
    "print(1)",
    LEAVES + "import time; time.sleep(0.05)",
    "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'print(2)', *sys.argv[1:]])",
    "x = [bytearray(b'x') * (8 << 20) for _ in range(12)]",
    "import time, sys\nwhile time.process_time() < 0.1: pass",
    "import os, time\nfor _ in range(3): os.fork()\ntime.sleep(0.05)",
    "open('/tmp/x', 'wb').write(b'x' * (8 << 20))",
)
FOREVER = LEAVES + "import time; time.sleep(600)"


def say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)  # noqa: T201


class Busy:
    """Keeps slots busy."""

    def __init__(self, sandbox: Any, marker: str) -> None:
        self._sandbox = sandbox
        self._marker = marker
        self._serial = itertools.count()

    def run(self, code: str, wall: float, lease: float) -> Any:
        limits = Limits(wall_s=wall, memory_bytes=64 * MIB, processes=20)
        name = f"a{next(self._serial)}.1"
        job = Job(name, "python", code.encode(), b"", (self._marker,), (), limits, lease)
        return self._sandbox.run(job, lambda: None)

    def go_on(self, _: object = None) -> None:
        """Start one more program, and so on."""
        code = PROGRAMS[next(self._serial) % len(PROGRAMS)]
        try:
            self.run(code, 0.3, 600).done.addBoth(self._ended)
        except SandboxError:
            reactor.callLater(0.005, self.go_on)

    def _ended(self, _: object) -> None:
        say(ended=next(self._serial))
        reactor.callLater(0, self.go_on)


def main() -> None:
    state, level, marker, *ends = sys.argv[1:]
    jobs = JobsFolder(reactor, Path(state))
    wishes = Wishes(state, 2, level, level, (), None, (), None, ())
    sandbox: Any = make_sandbox(reactor, jobs, None, wishes, Gateway(reactor))
    jobs.make()
    sandbox.start()
    busy = Busy(sandbox, marker)

    def begin() -> None:
        if not all(slot.ready for slot in sandbox.pool.slots):
            reactor.callLater(0.01, begin)
            return
        say(
            pid=os.getpid(),
            janitor=sandbox.janitor.pid,
            uid=uid_base(wishes.uid_base),
            jobs=str(jobs.path),
        )
        if ends:
            job = busy.run(FOREVER, float(ends[0]), float(ends[1]))
            job.watch(partial(say, wrote=1))
            job.done.addBoth(lambda _: say(ended=0))
        else:
            busy.go_on()
            busy.go_on()

    reactor.callWhenRunning(begin)
    reactor.run()


if __name__ == "__main__":
    main()
