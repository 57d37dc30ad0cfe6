"""A janitor or a zygote that is killed, and slots that are replaced: jobs fail where they must."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted
from jailed import FULL_FIRST, JAIL_LEVELS, Jails, stopped
from slots import reactor, until

from runyard.worker.sandbox.interface import SandboxError

SLEEPS = "import time; print('up', flush=True); time.sleep(600)"


@pytest.fixture(params=FULL_FIRST)
def jails(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Jails]:
    made = Jails(tmp_path, request.param, slots=2)
    yield made
    stopped(made)
    assert not list((tmp_path / "instances").glob("*")), "its end leaves nothing to clean up"


def pid_of(pidfd: int) -> int:
    text = Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    return int(text.partition("Pid:")[2].split()[0])


async def fails_and_goes_on(jails: Jails, end: int) -> None:
    """Kill a process under a running job: its job fails, and the next one runs soon."""
    job = await jails.soon(SLEEPS)
    await until(lambda: bool(job._pipes["stdout"].measured))
    began = reactor.seconds()
    os.kill(end, signal.SIGKILL)
    with pytest.raises(SandboxError, match="ended"):
        await job.done
    assert await jails.says("print(1)") == "1\n"
    assert reactor.seconds() - began < 5


@pytest_twisted.ensureDeferred
async def test_a_killed_janitor_fails_its_jobs_and_is_followed_by_another(jails: Jails) -> None:
    await until(lambda: all(slot.ready for slot in jails.sandbox.pool.slots))
    for _ in range(2):
        first = jails.sandbox.janitor.pid
        assert first is not None
        await fails_and_goes_on(jails, first)
        assert jails.sandbox.janitor.pid not in (None, first)
        await until(lambda: sum(slot.ready for slot in jails.sandbox.pool.slots) == 2)


@pytest_twisted.ensureDeferred
async def test_a_killed_zygote_fails_its_own_job_alone(jails: Jails) -> None:
    await until(lambda: all(slot.ready for slot in jails.sandbox.pool.slots))
    beside = await jails.soon(SLEEPS)
    (free,) = [slot for slot in jails.sandbox.pool.slots if slot.job is None]
    zygotes = jails.sandbox.janitor._zygotes
    name = free._helper.name  # type: ignore[attr-defined]
    await fails_and_goes_on(jails, pid_of(zygotes[name].pidfd))
    assert beside.running
    assert not beside.done.called
    beside.kill()
    await beside.done


@pytest_twisted.ensureDeferred
async def test_slots_are_recycled_without_a_failed_job(tmp_path: Path) -> None:
    for level in JAIL_LEVELS[-1:]:
        jails = Jails(tmp_path, level, slots=2, most_runs=3)
        try:
            seen: set[object] = set()
            end = reactor.seconds() + 60
            while len(seen) < 8:
                assert reactor.seconds() < end
                both = [await jails.soon("print(1)") for _ in range(2)]
                for job in both:
                    assert (await job.done).stdout == b"1\n"
                seen |= set(jails.sandbox.pool.slots)
                assert len(jails.sandbox.pool.slots) <= 4, "each and one that comes for it"
        finally:
            await jails.stop()
