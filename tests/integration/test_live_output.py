"""Output of a real job while it runs."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_twisted
from slots import LEVELS, Slots, running_slots, until

PACED = """
import os, signal, sys
told, tell = os.pipe()
signal.signal(signal.SIGUSR1, lambda *_: os.write(tell, b"x"))
print("first", flush=True)
print("oops", file=sys.stderr, flush=True)
os.read(told, 1)
print("second", flush=True)
"""


def listens(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(mask.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1)


@pytest.fixture(params=LEVELS)
def slots(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    with running_slots(tmp_path, level=request.param) as made:
        yield made


@pytest_twisted.ensureDeferred
async def test_what_a_job_writes_is_there_while_it_runs_from_any_offset(slots: Slots) -> None:
    grown: list[bool] = []
    job = slots.start(PACED)
    job.watch(lambda: grown.append(True))
    await until(lambda: job.output("stderr", 0, 100)[1] == 5)
    assert grown
    assert job.output("stdout", 0, 100) == (b"first\n", 6)
    assert job.output("stdout", 2, 3) == (b"rst", 6)
    assert job.output("stdout", 9, 3) == (b"", 6)
    assert not job.done.called
    job.watch(None)
    count = len(grown)
    waiting = [each for each in psutil.Process().children(recursive=True) if listens(each.pid)]
    for each in waiting:
        each.send_signal(signal.SIGUSR1)
    ending = await job.done
    assert ending.stdout == b"first\nsecond\n"
    assert len(grown) == count
    assert job.output("stdout", 0, 100) == (b"", 0)
