"""A program ends in a slot as it does by itself: same output, to the byte, same status."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
import pytest_twisted
from greenlet import greenlet  # type: ignore[import-untyped]
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs import PROGRAMS
from reference import Seen, normal, run_plainly
from slots import LEVELS, Slots, reactor, running_slots
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

QUICK, MANY = 25, 200
STDIN = st.sampled_from([b"", b"one line\n", b"\xff\x00 no text"])
ALWAYS = [
    b"import os; os.dup2(1, 0); 1 / 0",
    b"import os; os.dup2(2, 0); 1 / 0",
    b"def f(n): return f(n + 1)\nf(0)",
    b"import sys; sys.exit('bye')",
    b"import threading; threading.Thread(target=lambda: 1 / 0).start()",
    b"\xff = 1",
    b"print(1)\n\0",
    b"",
]


@pytest.fixture(scope="module", params=LEVELS)
def slots(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Slots]:
    with running_slots(tmp_path_factory.mktemp("plain"), level=request.param) as made:
        yield made


def run_in_a_slot(slots: Slots, code: bytes, stdin: bytes) -> Seen:
    job = slots.start(code, stdin=stdin)
    ending = pytest_twisted.blockon(job.done)
    status = os.waitstatus_to_exitcode(ending.status)
    return normal(status, ending.stdout, ending.stderr, job._folder)


def agree(slots: Slots, code: bytes, stdin: bytes) -> None:
    assert run_in_a_slot(slots, code, stdin) == run_plainly(code, stdin)


def compare(slots: Slots, examples: int) -> Deferred[None]:
    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(code=PROGRAMS, stdin=STDIN)
    def each(code: bytes, stdin: bytes) -> None:
        agree(slots, code, stdin)

    return in_a_greenlet(each)


def in_a_greenlet(call: Callable[[], None]) -> Deferred[None]:
    """Call what blocks on Deferreds, which the reactor's own greenlet may not."""
    done: Deferred[None] = Deferred()

    def body() -> None:
        try:
            call()
        except BaseException:  # noqa: BLE001 (it is the test's)
            reactor.callLater(0, done.errback, Failure())
        else:
            reactor.callLater(0, done.callback, None)

    greenlet(body).switch()
    return done


@pytest.mark.parametrize("code", ALWAYS)
@pytest_twisted.ensureDeferred
async def test_what_went_wrong_once(slots: Slots, code: bytes) -> None:
    await in_a_greenlet(lambda: agree(slots, code, b""))


@pytest_twisted.ensureDeferred
async def test_some_programs(slots: Slots) -> None:
    await compare(slots, QUICK)


@pytest.mark.slow
@pytest_twisted.ensureDeferred
async def test_many_programs(slots: Slots) -> None:
    await compare(slots, MANY)
