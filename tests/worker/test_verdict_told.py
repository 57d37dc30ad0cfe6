"""What a process told of its own end describes it, and decides nothing that others have seen."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from runyard.protocols.limits import Limits
from runyard.protocols.tasks import Ended, Outcome, Reason
from runyard.worker.sandbox.interface import Ending
from runyard.worker.verdict import verdict

LIMITS = Limits(wall_s=2, cpu_s=1, output_bytes=100)
ENDING = Ending(
    status=0, stdout=b"out", stderr=b"err", stdout_truncated=False, stderr_truncated=False,
    full=None, measured=0, wall_s=0.5, cpu_s=0.2, max_rss_bytes=1,
)  # fmt: skip
FRAME = {"file": "main.py", "line": 2, "function": "f", "source": "1/0", "locals": {"a": "1"}}
RAISED = {"type": "ZeroDivisionError", "message": "division by zero", "frames": [FRAME]}
NO_PROGRAM = {
    "type": "SyntaxError", "message": "invalid syntax", "frames": [], "filename": "main.py",
    "lineno": 4, "offset": 2, "text": "a b",
}  # fmt: skip
THREADS = [{"type": "KeyError", "message": "'k'", "frames": [FRAME]}]
TRACE = b'Current thread 0x07f (most recent call first):\n  File "main.py", line 1 in <module>\n'
STATUSES = [0, 1 << 8, 3 << 8, 255 << 8, int(signal.SIGKILL), int(signal.SIGSEGV) | 0x80]


def told(record: Any, status: int = 1 << 8, stopped: Reason | None = None, **more: Any) -> Ended:
    data = record if isinstance(record, bytes) else b"\n" + json.dumps(record).encode() + b"\n"
    return verdict(
        evolve(ENDING, status=status, told=data, **more), LIMITS, stopped, "none", b"while 1: pass"
    )


def test_exit_code_1_with_an_exception_is_that_exception() -> None:
    ended = told(RAISED)
    assert (ended.outcome, ended.reason) == (Outcome.RUNTIME_ERROR, Reason.EXCEPTION)
    assert ended.detail == "It raised ZeroDivisionError: division by zero (line 2)."
    assert ended.exit_code == 1
    assert ended.error == RAISED | {"line": 2}


@pytest.mark.parametrize("status", [status for status in STATUSES if status != 1 << 8])
def test_any_other_status_is_what_it_was(status: int) -> None:
    assert told(RAISED, status).reason is verdict(
        evolve(ENDING, status=status), LIMITS, None, "none"
    ).reason  # fmt: skip


def test_exit_code_1_without_a_record_is_an_exit_code() -> None:
    for record in (b"", b"{", b"noise", {"threads": THREADS}):
        ended = told(record)
        assert ended.reason is Reason.EXIT_CODE
        assert ended.detail == "It ended with exit code 1."
    assert told({"threads": THREADS}).error == {"threads": THREADS}


@pytest.mark.parametrize("kind", ["SyntaxError", "IndentationError", "TabError"])
def test_what_never_began_is_no_valid_program(kind: str) -> None:
    ended = told(NO_PROGRAM | {"type": kind})
    assert ended.reason is Reason.SYNTAX_ERROR
    assert ended.detail == f"It is no valid program: {kind}: invalid syntax (line 4)."
    unplaced = told({"type": kind, "message": "encoding problem: foo", "frames": []})
    assert unplaced.reason is Reason.SYNTAX_ERROR
    assert unplaced.detail == f"It is no valid program: {kind}: encoding problem: foo."


def test_a_syntax_error_within_a_program_is_an_exception() -> None:
    assert told(NO_PROGRAM | {"frames": [FRAME]}).reason is Reason.EXCEPTION
    assert told({"type": "ValueError", "frames": [], "lineno": 3}).reason is Reason.EXCEPTION


def test_a_success_keeps_what_ended_its_threads_and_nothing_else() -> None:
    assert told(RAISED, 0).error is None
    ended = told(RAISED | {"threads": THREADS}, 0)
    assert (ended.outcome, ended.error) == (Outcome.SUCCESS, {"threads": THREADS})


def test_a_timeout_is_told_by_its_trace_and_by_no_record() -> None:
    ended = told(TRACE, signal.SIGKILL, Reason.TIMEOUT)
    assert ended.reason is Reason.TIMEOUT
    assert ended.error is not None
    assert (ended.error["type"], ended.error["line"]) == ("Timeout", 1)
    assert ended.error["message"] == ended.detail
    assert ended.error["frames"][0]["source"] == "while 1: pass"
    assert told(RAISED, signal.SIGKILL, Reason.TIMEOUT).error is None
    assert told(TRACE, signal.SIGKILL).error is None, "nor any other end by a trace"


def test_one_that_ended_by_itself_after_its_trace_is_what_it_was() -> None:
    ended = told(TRACE + b"\n" + json.dumps(RAISED).encode() + b"\n", 1 << 8, Reason.TIMEOUT)
    assert ended.reason is Reason.EXCEPTION


@pytest.mark.parametrize("reason", [Reason.ASKED, Reason.HUNG_UP, Reason.RESTART])
def test_what_was_cancelled_tells_nothing(reason: Reason) -> None:
    for status in STATUSES:
        ended = told(RAISED, status, reason)
        assert (ended.outcome, ended.reason, ended.error) == (Outcome.CANCELLED, reason, None)


def test_a_limit_that_was_hit_stays_the_reason_and_the_record_stays_beside_it() -> None:
    ended = told(RAISED, full="stdout", measured=200)
    assert (ended.reason, ended.error) == (Reason.OUTPUT_LIMIT, RAISED | {"line": 2})
    used = told(RAISED, signal.SIGXCPU, cpu_s=1.5, main_cpu_s=1.5)
    assert used.reason is Reason.CPU_LIMIT
    assert told(RAISED, 0, full="stdout").outcome is Outcome.RUNTIME_ERROR, "never a success"


def test_the_detail_of_a_huge_record_is_bounded() -> None:
    ended = told({"type": "t" * 9000, "message": "m" * 9000, "frames": []})
    assert ended.reason is Reason.EXCEPTION
    assert len(ended.detail) < 1200


@given(
    st.sampled_from(STATUSES),
    st.sampled_from([None, Reason.TIMEOUT, Reason.ASKED]),
    st.sampled_from([None, "stdout"]),
    st.binary()
    | st.sampled_from([RAISED, NO_PROGRAM, {"threads": THREADS}, {"type": "Success"}])
    | st.sampled_from([b'{"outcome": "success", "exit_code": 0}', TRACE]),
)
def test_no_record_changes_what_was_seen(
    status: int, stopped: Reason | None, full: str | None, record: Any
) -> None:
    bare = told(b"", status, stopped, full=full)
    ended = told(record, status, stopped, full=full)
    assert evolve(ended, error=None, reason=None, detail="") == evolve(bare, reason=None, detail="")
    if ended.reason is not bare.reason:
        assert (ended.exit_code, bare.reason) == (1, Reason.EXIT_CODE)
        assert ended.reason in (Reason.EXCEPTION, Reason.SYNTAX_ERROR)
    elif ended.reason is not Reason.EXCEPTION:
        assert ended.detail == bare.detail
