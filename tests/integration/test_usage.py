"""What a task is said to have used: all of its processes, and nothing of who runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from quickly import quick_of
from slots import Slots, running_slots

from runyard.protocols.limits import MIB
from runyard.worker.sandbox.interface import Ending

BURN = "import time\nwhile time.process_time() < 0.4: pass\n"
HOLD = "x = bytearray(60 << 20)\n"
WAITED = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])"
NEVER_WAITED = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, '-c', {child!r}])
os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
os._exit(0)
"""
STILL_THERE = """
import os, subprocess, sys
code = {child!r} + "print('done', flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, '-c', 'import time\\n' + code], stdout=subprocess.PIPE)
child.stdout.readline()
"""
ORPHAN = """
import os, subprocess, sys
read_end, write_end = os.pipe()
if os.fork() == 0:
    code = {child!r} + "time.sleep(600)"
    code = 'import os, time\\n' + code.replace('time.sleep', 'os.write(3, b"x"); time.sleep')
    os.dup2(write_end, 3)
    os.set_inheritable(3, True)
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, '-c', code])
    os._exit(0)
os.wait()
os.read(read_end, 1)
"""
PEAK = "print(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1])"
TREES = {"waited": WAITED, "never waited": NEVER_WAITED, "there": STILL_THERE, "orphan": ORPHAN}


@pytest.fixture
def slots(tmp_path: Path) -> Any:
    with running_slots(tmp_path) as made:
        yield made


@pytest.mark.parametrize("tree", quick_of(TREES, "there", "orphan"))
@pytest_twisted.ensureDeferred
async def test_time_and_memory_of_every_process_count(slots: Slots, tree: str) -> None:
    ending = await slots.run(TREES[tree].format(child=BURN + HOLD))
    assert (ending.status, ending.stderr) == (0, b"")
    assert 0.4 <= ending.cpu_s < 3.0
    assert ending.main_cpu_s is not None
    assert ending.main_cpu_s < 0.35, "its own time is told by itself"
    assert 60 * MIB < ending.max_rss_bytes < 100 * MIB


@pytest.mark.slow
@pytest_twisted.ensureDeferred
async def test_memory_is_the_largest_process_s_not_the_sum(slots: Slots) -> None:
    ending = await slots.run(WAITED.format(child=HOLD) + "\n" + HOLD)
    assert 60 * MIB < ending.max_rss_bytes < 100 * MIB


@pytest_twisted.ensureDeferred
async def test_one_that_was_killed_counts_too(slots: Slots) -> None:
    ending = await slots.run(BURN + HOLD + "import os; os.kill(os.getpid(), 9)")
    assert ending.cpu_s >= 0.4
    assert ending.main_cpu_s is not None
    assert ending.main_cpu_s >= 0.4
    assert ending.max_rss_bytes > 60 * MIB


@pytest_twisted.ensureDeferred
async def test_what_the_helper_has_in_memory_does_not_show(slots: Slots) -> None:
    """A process is told at least as large as the one that it was forked from was then."""
    before: Ending = await slots.run(PEAK)
    many = "for n in range(200): open(f'tmp/{n}' + 'x' * 200, 'w').close()"
    await slots.run(many, stdin=bytes(16 * MIB), args=("x" * 60_000,))
    for ending in (before, await slots.run(PEAK), await slots.run(PEAK)):
        own = int(ending.stdout) * 1024
        assert own - MIB // 2 <= ending.max_rss_bytes < own + MIB // 2


@pytest_twisted.ensureDeferred
async def test_wall_time_is_from_the_program_s_start_to_its_end(slots: Slots) -> None:
    ending = await slots.run("import time; time.sleep(0.3)", stdin=bytes(16 * MIB))
    assert 0.3 <= ending.wall_s < 3.0
    assert ending.cpu_s < 0.3, "waiting is no work"
    busy = await slots.run(BURN)
    assert busy.cpu_s <= busy.wall_s + 0.02, "one thread has no more time than there is"
