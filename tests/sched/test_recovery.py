"""The retry policy: what counts, what is proof, what follows."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.protocols.errors import LinkLost, Loss
from runyard.protocols.tasks import Ended, Outcome, Reason, RetryPolicy
from runyard.sched.recovery import (
    MOST_SHARED,
    Fault,
    Final,
    Retry,
    Tally,
    after_end,
    after_fault,
    backoff,
    fault_of,
)

LOST = Ended(Outcome.NETWORK_FAIL, detail="gone")
FAILED = Ended(Outcome.RUNTIME_ERROR, Reason.EXIT_CODE)


def tally(*faults: Fault) -> Tally:
    made = Tally()
    for fault in faults:
        made = made.with_fault(fault)
    return made


def test_a_failed_attempt_is_retried_until_its_cap_with_growing_delays() -> None:
    cut = Fault.CUT
    assert after_fault(LOST, tally(cut, cut, cut), 3, 0.5) == Final(LOST)
    assert after_fault(LOST, tally(cut), 1, 0.5) == Final(LOST), "attempts 1 is at most once"
    first, second = (after_fault(LOST, tally(*[cut] * n), 3, 0.5) for n in (1, 2))
    assert isinstance(first, Retry)
    assert second == Retry(first.delay * 2)
    assert backoff(1, 0.0) < backoff(1, 1.0), "jitter"
    assert backoff(50, 1.0) < 60


def test_two_losses_of_its_own_end_a_task_whatever_its_cap() -> None:
    first, second = tally(Fault.ALONE), tally(Fault.ALONE, Fault.SHARED, Fault.ALONE)
    assert isinstance(after_fault(LOST, first, 10, 0.5), Retry)
    decided = after_fault(LOST, second, 10, 0.5)
    assert isinstance(decided, Final)
    assert (decided.ended.outcome, decided.ended.reason) == (Outcome.NETWORK_FAIL, Reason.POISON)
    assert "gone" in decided.ended.detail


def test_shared_losses_cost_nothing_up_to_five() -> None:
    free = tally(*[Fault.SHARED] * MOST_SHARED)
    assert (MOST_SHARED, free.counted) == (5, 0)
    assert free.with_fault(Fault.SHARED).counted == 1


def test_what_we_ended_ourselves_never_counts_and_makes_no_suspect() -> None:
    drained = tally(*[Fault.OURS] * 50)
    assert (drained.counted, drained.suspect) == (0, False)
    assert isinstance(after_fault(LOST, drained, 2, 0.5), Retry)


@pytest.mark.parametrize("fault", list(Fault))
def test_at_most_once_is_not_started_twice_whatever_happened(fault: Fault) -> None:
    assert after_fault(LOST, tally(fault), 1, 0.5) == Final(LOST)


@given(st.lists(st.sampled_from(list(Fault)), min_size=1, max_size=60), st.integers(1, 10))
def test_only_drains_go_on_for_ever(faults: list[Fault], cap: int) -> None:
    made = Tally()
    for count, fault in enumerate(faults, 1):
        made = made.with_fault(fault)
        if isinstance(after_fault(LOST, made, cap, 0.5), Final):
            break
        costly = sum(each is not Fault.OURS for each in faults[:count])
        assert costly < cap + MOST_SHARED


def test_a_loss_is_told_apart_by_what_took_it() -> None:
    kinds = {
        (loss, others): fault_of(LinkLost("x", loss, others), draining=False)
        for loss, others in product(Loss, (0, 3))
    }
    assert kinds == {
        (Loss.DEATH, 0): Fault.ALONE,
        (Loss.DEATH, 3): Fault.SHARED,
        (Loss.LINK, 0): Fault.CUT,
        (Loss.LINK, 3): Fault.CUT,
    }
    assert fault_of(LinkLost("x", Loss.DEATH), draining=True) is Fault.OURS


def test_the_program_s_own_end_is_final_unless_it_asked_else() -> None:
    asked = RetryPolicy(2, frozenset({"exit_code", "format_error"}), 4.0)
    assert after_end(FAILED, None, Tally(), 0.5) == Final(FAILED)
    assert after_end(FAILED, asked, Tally(), 0.5) == Retry(4.0)
    assert after_end(FAILED, asked, Tally(own=1), 0.5) == Retry(8.0)
    assert after_end(FAILED, asked, Tally(own=2), 0.5) == Final(FAILED)
    other = Ended(Outcome.RUNTIME_ERROR, Reason.TIMEOUT)
    assert after_end(other, asked, Tally(), 0.5) == Final(other)
    by_outcome = RetryPolicy(1, frozenset({"runtime_error"}))
    assert isinstance(after_end(other, by_outcome, Tally(), 0.5), Retry)
