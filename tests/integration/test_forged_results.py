"""Programs that forge what a worker reads of a task's end: what was seen stands."""

from __future__ import annotations

import gc
from typing import Any

import psutil
import pytest
import pytest_twisted
from attrs import evolve
from forgers import FORGE, FORGERS
from slots import ACCOUNT, LEVELS, Slots, all_ready, running_slots, until
from twisted.internet.defer import Deferred

from runyard.protocols.limits import MIB, Limits
from runyard.protocols.tasks import Ended, Outcome, Reason
from runyard.worker.inspect import caught_in
from runyard.worker.sandbox.inputs import MOST_TOLD
from runyard.worker.sandbox.interface import Ending
from runyard.worker.verdict import verdict

LIMITS = Limits()
SLACK = 24 * MIB


@pytest.fixture(scope="module", params=LEVELS)
def slots(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running_slots(tmp_path_factory.mktemp("forged"), level=request.param) as made:
        pytest_twisted.blockon(Deferred.fromCoroutine(until(lambda: all_ready(made))))
        yield made


def judged(ending: Ending) -> Ended:
    return verdict(ending, LIMITS, None, "none")


async def next_is_well(slots: Slots) -> None:
    after = await slots.run("print(input())", stdin=b"well\n")
    assert (after.status, after.stdout, after.stderr, after.told) == (0, b"well\n", b"", b"")


@pytest.mark.parametrize("name", FORGERS)
@pytest_twisted.ensureDeferred
async def test_what_was_seen_stands_whatever_is_forged(name: str, slots: Slots) -> None:
    before, open_before = psutil.Process().memory_info().rss, psutil.Process().num_fds()
    ending = await slots.run(FORGE + FORGERS[name], stdin=b"input\n" * 99)
    ended = judged(ending)
    assert (ended.outcome, ended.reason) == (Outcome.RUNTIME_ERROR, Reason.EXIT_CODE)
    if not (name == "helper_by_pidfd" and ACCOUNT is None):
        assert (ended.exit_code, ended.signal, ended.confirmed) == (7, None, True)
    assert (ended.stdout, ended.stderr) == (b"done\n", b"")
    assert ending.clean
    assert len(ending.told) <= MOST_TOLD
    await next_is_well(slots)
    del ending, ended
    gc.collect()
    assert psutil.Process().memory_info().rss - before < SLACK
    assert psutil.Process().num_fds() <= open_before


@pytest_twisted.ensureDeferred
async def test_the_largest_input_s_file_costs_the_worker_nothing(slots: Slots) -> None:
    before = psutil.Process().memory_info().rss
    code = "import os\nos.posix_fallocate(0, 0, 64 << 20)\n" + FORGE + "forge(0)\nend(7)"
    ending = await slots.run(code, file_bytes=64 * MIB, memory_bytes=128 * MIB)
    assert ending.stdout == b"done\n", ending.stderr
    assert len(ending.told) <= MOST_TOLD
    await next_is_well(slots)
    assert psutil.Process().memory_info().rss - before < SLACK


@pytest_twisted.ensureDeferred
async def test_a_forged_record_only_describes_an_exit_code_that_was_seen(slots: Slots) -> None:
    for status in (0, 1, 3):
        ending = await slots.run(f"{FORGE}forge(0)\nend({status})")
        ended, bare = judged(ending), judged(evolve(ending, told=b""))
        assert ended.exit_code == status
        assert evolve(ended, error=None, reason=None, detail="") == evolve(
            bare, reason=None, detail=""
        )
        assert (ended.reason is Reason.EXCEPTION) == (status == 1)


@pytest_twisted.ensureDeferred
async def test_a_true_exception_is_told_after_a_flood_of_forged_ones(slots: Slots) -> None:
    ending = await slots.run(FORGE + "for _ in range(500): forge(0)\nraise KeyError('true')")
    ended = judged(ending)
    assert ended.reason is Reason.EXCEPTION
    assert ended.error is not None
    assert (ended.error["type"], ended.error["message"]) == ("KeyError", "'true'")


TRACED = """
import os, time
{prepare}
before, end = os.fstat(0).st_size, time.monotonic() + {seconds}
print('up', flush=True)
while os.fstat(0).st_size == before and time.monotonic() < end: pass
print('done', flush=True)
"""


async def traced(slots: Slots, prepare: str, seconds: float) -> Ending:
    job = slots.start(TRACED.format(prepare=prepare, seconds=seconds))
    await until(lambda: job.output("stdout", 0, 10) == (b"up\n", 3))
    job.trace()
    ending: Ending = await job.done
    return ending


@pytest_twisted.ensureDeferred
async def test_a_trace_goes_behind_the_input(slots: Slots) -> None:
    ending = await traced(slots, "", 30)
    assert (ending.status, ending.stdout) == (0, b"up\ndone\n")
    record = caught_in(ending.told, b"", "")
    assert record is not None
    assert record["frames"][-1]["file"] == "main.py"


@pytest.mark.parametrize(
    "prepare", ["os.dup2(1, 0)", "os.close(0); f = open('x', 'w+')", "os.dup2(2, 0)"]
)
@pytest_twisted.ensureDeferred
async def test_a_trace_goes_nowhere_where_the_input_became_another(
    prepare: str, slots: Slots
) -> None:
    ending = await traced(slots, prepare, 0.5)
    assert (ending.status, ending.stdout, ending.stderr) == (0, b"up\ndone\n", b"")


@pytest.mark.parametrize("signal", ["SIG_IGN", "SIG_DFL"])
@pytest_twisted.ensureDeferred
async def test_a_trace_ends_nobody_who_does_not_listen(signal: str, slots: Slots) -> None:
    prepare = f"import signal; signal.signal(60, signal.{signal})"
    ending = await traced(slots, prepare, 0.5)
    assert (ending.status, ending.stdout, ending.told) == (0, b"up\ndone\n", b"")
