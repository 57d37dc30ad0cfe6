from __future__ import annotations

import signal
from typing import Any

import pytest

from runyard.protocols.limits import Limits
from runyard.protocols.tasks import Ended, LimitHit, Outcome, Reason
from runyard.worker.sandbox.interface import Ending
from runyard.worker.verdict import signal_name, unseen, verdict

LIMITS = Limits(wall_s=2, cpu_s=1, output_bytes=100)
KILLED = int(signal.SIGKILL)


def judged(status: int, stopped: Reason | None = None, **more: Any) -> Ended:
    fields: dict[str, Any] = {
        "stdout": b"out", "stderr": b"err", "stdout_truncated": False, "stderr_truncated": False,
        "full": None, "measured": 0, "wall_s": 0.5, "cpu_s": 0.2, "max_rss_bytes": 1,
    }  # fmt: skip
    fields["main_cpu_s"] = more.get("cpu_s", fields["cpu_s"])
    return verdict(Ending(status=status, **(fields | more)), LIMITS, stopped, "none")


def test_zero_is_success_and_output_is_kept_as_it_was() -> None:
    ended = judged(0)
    assert (ended.outcome, ended.reason, ended.exit_code) == (Outcome.SUCCESS, None, 0)
    assert (ended.stdout, ended.stderr, ended.isolation) == (b"out", b"err", "none")


@pytest.mark.parametrize("code", [1, 3, 255])
def test_another_exit_code_is_the_task_s_own_failure(code: int) -> None:
    ended = judged(code << 8)
    assert (ended.outcome, ended.reason) == (Outcome.RUNTIME_ERROR, Reason.EXIT_CODE)
    assert (ended.exit_code, ended.signal) == (code, None)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM, 34, 64])
def test_a_death_by_signal_is_named_and_has_no_exit_code(number: int) -> None:
    ended = judged(number)
    assert (ended.reason, ended.exit_code) == (Reason.SIGNAL, None)
    assert ended.signal == signal_name(number)
    assert judged(number | 0x80).signal == signal_name(number), "with a core dump too"


def test_what_we_killed_for_its_time_says_so_with_both_numbers() -> None:
    for ended in (judged(KILLED, Reason.TIMEOUT, wall_s=2.01), judged(KILLED, late=True)):
        assert (ended.outcome, ended.reason) == (Outcome.RUNTIME_ERROR, Reason.TIMEOUT)
        assert ended.limit is not None
        assert (ended.limit.name, ended.limit.allowed) == ("wall_s", 2)
        assert ended.stdout == b"out"


def test_one_that_ended_by_itself_just_before_the_kill_did_not_time_out() -> None:
    assert judged(0, Reason.TIMEOUT).outcome is Outcome.SUCCESS
    assert judged(3 << 8, Reason.TIMEOUT).reason is Reason.EXIT_CODE
    for status in (0, 3 << 8):
        assert judged(status, Reason.TIMEOUT, wall_s=2.01).reason is Reason.TIMEOUT, "too late"


def test_a_death_of_its_own_at_that_moment_is_told_as_that() -> None:
    assert judged(signal.SIGSEGV, Reason.TIMEOUT).signal == "SIGSEGV"
    assert judged(signal.SIGSEGV, Reason.TIMEOUT).reason is Reason.SIGNAL
    both = judged(signal.SIGXCPU, Reason.TIMEOUT, wall_s=2.0, cpu_s=1.0)
    assert both.reason is Reason.CPU_LIMIT, "we kill by SIGKILL only"


def test_output_past_the_cap_is_never_success() -> None:
    for status in (0, KILLED):
        ended = judged(status, full="stdout", stdout_truncated=True, measured=4096)
        assert ended.reason is Reason.OUTPUT_LIMIT
        assert ended.limit == LimitHit("output_bytes", 100, 4096)
        assert ended.stdout_truncated


def test_the_processor_limit_is_said_only_where_it_was_measured() -> None:
    for measured in (0.9, 0.998, 1.0, 1.3):
        assert judged(signal.SIGXCPU, cpu_s=measured).reason is Reason.CPU_LIMIT
    assert judged(KILLED, cpu_s=2.0).limit == LimitHit("cpu_s", 1, 2.0)
    assert judged(signal.SIGXCPU, cpu_s=0.2).reason is Reason.SIGNAL, "it raised that itself"
    assert judged(KILLED, cpu_s=0.2).reason is Reason.SIGNAL


def test_what_its_children_used_is_not_what_its_own_limit_ended() -> None:
    assert judged(KILLED, cpu_s=9.0, main_cpu_s=0.1).reason is Reason.SIGNAL
    assert judged(KILLED, cpu_s=9.0, main_cpu_s=None).reason is Reason.SIGNAL
    assert judged(KILLED, cpu_s=9.0, main_cpu_s=2.1).limit == LimitHit("cpu_s", 1, 2.1)


def test_a_kill_from_elsewhere_is_not_the_kernel_s_for_its_time() -> None:
    assert judged(KILLED, cpu_s=1.2).reason is Reason.SIGNAL, "SIGKILL comes a second after"
    assert judged(signal.SIGTERM, cpu_s=9.0).reason is Reason.SIGNAL


def test_signals_without_a_name_have_one_that_can_be_read() -> None:
    assert [signal_name(n) for n in (32, 33, 35, 60)] == [
        "SIG32", "SIG33", "SIGRTMIN+1", "SIGRTMIN+26",
    ]  # fmt: skip


@pytest.mark.parametrize("reason", [Reason.ASKED, Reason.HUNG_UP, Reason.RESTART])
def test_a_cancel_is_what_it_was_whatever_else_happened(reason: Reason) -> None:
    for status in (0, KILLED, 1 << 8):
        ended = judged(status, reason, full="stdout", cpu_s=9.0)
        assert (ended.outcome, ended.reason) == (Outcome.CANCELLED, reason)


def test_an_end_that_nobody_saw_is_what_it_was_stopped_for_or_our_fault() -> None:
    assert unseen("x", LIMITS, Reason.TIMEOUT, "none").reason is Reason.TIMEOUT
    assert unseen("x", LIMITS, Reason.ASKED, "none").outcome is Outcome.CANCELLED
    ours = unseen("the helper died", LIMITS, None, "none")
    assert (ours.outcome, ours.reason) == (Outcome.INTERNAL_FAIL, Reason.SANDBOX)
    assert not unseen("x", LIMITS, Reason.ASKED, "none").confirmed
