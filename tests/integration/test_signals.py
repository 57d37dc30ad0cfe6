"""A program that sends itself a signal: what comes of each one in a real slot."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
import pytest_twisted
from quickly import quick_of
from reference import run_plainly
from slots import LEVELS, Slots, running_slots, until

from runyard.protocols.limits import Limits
from runyard.protocols.tasks import Outcome, Reason
from runyard.worker.verdict import signal_name, verdict

LIBRARY_S = {32, 33}
"""They are the C library's: it does not let them be set, and its posix_spawn has them ignored."""
ELSEWHERE = {signal.SIGSTOP}
"""In test_odd_ends: it lasts until the wall limit."""
NUMBERS = [str(number) for number in range(1, 65) if number not in LIBRARY_S | ELSEWHERE]
TO_ITSELF = """
import os, signal
number = NUMBER
try:
    if DEFAULT: signal.signal(number, signal.SIG_DFL)
except (OSError, ValueError): pass
os.kill(os.getpid(), number)
print('went on')
"""
HARMLESS = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
NO_TERMINAL = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
"""They would stop a process that a shell could go on with; ours has none, and goes on itself."""
IGNORED_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}
TRACE_SIGNAL = 60


@pytest.fixture(scope="module", params=LEVELS)
def slots(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Slots]:
    with running_slots(tmp_path_factory.mktemp("signals"), level=request.param) as made:
        yield made


def program(number: int, *, default: bool) -> bytes:
    return TO_ITSELF.replace("NUMBER", str(number)).replace("DEFAULT", str(default)).encode()


@pytest.mark.parametrize("text", quick_of(NUMBERS, "6", "15", "20", "64"))
@pytest_twisted.ensureDeferred
async def test_one_that_it_does_nothing_about(slots: Slots, text: str) -> None:
    number = int(text)
    ending = await slots.run(program(number, default=True))
    ended = verdict(ending, Limits(), None, "none")
    if number in HARMLESS | NO_TERMINAL:
        assert (ended.outcome, ended.stdout) == (Outcome.SUCCESS, b"went on\n")
    else:
        assert not os.WCOREDUMP(ending.status)
        assert (ended.outcome, ended.reason) == (Outcome.RUNTIME_ERROR, Reason.SIGNAL)
        assert (ended.exit_code, ended.signal) == (None, signal_name(number))
        assert ended.detail == f"It was ended by {signal_name(number)}."


@pytest.mark.parametrize("number", sorted(LIBRARY_S))
@pytest_twisted.ensureDeferred
async def test_the_library_s_own_end_it_or_do_nothing(slots: Slots, number: int) -> None:
    ended = verdict(await slots.run(program(number, default=True)), Limits(), None, "none")
    nothing = ended.outcome is Outcome.SUCCESS and ended.stdout == b"went on\n"
    assert nothing or ended.signal == signal_name(number)


@pytest.mark.parametrize("text", quick_of(NUMBERS, "2", "13", "60"))
@pytest_twisted.ensureDeferred
async def test_python_s_own_ways_are_as_ever(slots: Slots, text: str) -> None:
    number = int(text)
    code = program(number, default=False)
    ending = await slots.run(code)
    seen = os.waitstatus_to_exitcode(ending.status), ending.stdout
    if number == TRACE_SIGNAL:
        assert seen == (0, b"went on\n"), "it is ours: it has the process tell where it is"
        assert b"most recent call first" in ending.told
        return
    plain = run_plainly(code)
    assert seen == (plain.code, plain.stdout)
    goes_on = number in HARMLESS | NO_TERMINAL | IGNORED_BY_PYTHON
    assert seen == ((0, b"went on\n") if goes_on else (-number, b""))


@pytest.mark.parametrize("change", ["pass", "os.dup2(1, 0)", "os.close(0)"])
@pytest_twisted.ensureDeferred
async def test_where_it_is_is_told_to_us_or_to_nobody(slots: Slots, change: str) -> None:
    job = slots.start(f"import os, time\n{change}\nprint('up')\ntime.sleep(0.5)")
    await until(lambda: job._pipes["stdout"].measured > 0)
    job.trace()
    ending = await job.done
    assert (ending.stdout, ending.stderr) == (b"up\n", b"")
    assert bool(ending.told) is (change == "pass")
