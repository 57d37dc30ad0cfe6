"""Output of a real job while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from slots import Slots, running_slots, until

PACED = """
import os, sys
print("first", flush=True)
print("oops", file=sys.stderr, flush=True)
while not os.path.exists("tmp/go"): os.sched_yield()
print("second", flush=True)
"""


@pytest.fixture
def slots(tmp_path: Path) -> Any:
    with running_slots(tmp_path) as made:
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
    (folder,) = slots.jobs.path.glob("*/*/tmp")
    (folder / "go").touch()
    ending = await job.done
    assert ending.stdout == b"first\nsecond\n"
    assert len(grown) == count
    assert job.output("stdout", 0, 100) == (b"", 0)
