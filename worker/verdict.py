"""From what the sandbox saw to what the user is told: pure."""

from __future__ import annotations

import math
import os
import signal

from attrs import evolve

from runyard.protocols.checked import Checked
from runyard.protocols.inspected import Record
from runyard.protocols.limits import Limits
from runyard.protocols.tasks import Ended, LimitHit, Outcome, Reason, Usage
from runyard.worker.inspect import caught_in, raised
from runyard.worker.sandbox.interface import Ending

MOST_DETAIL = 1024
NO_PROGRAM = ("SyntaxError", "IndentationError", "TabError")
"""Without a frame, what was raised before the program began; one within it has frames."""
CPU_SLACK_S = 0.25
"""How far below the limit the measured time may be: the kernel counts the limit by its ticks."""


def signal_name(number: int) -> str:
    """Give a signal's name; those without one are SIGRTMIN+N, or the C library's own SIG32, 33."""
    try:
        return signal.Signals(number).name
    except ValueError:
        above = number - signal.SIGRTMIN
        return f"SIGRTMIN+{above}" if above >= 0 else f"SIG{number}"


def verdict(
    ending: Ending, limits: Limits, stopped: Reason | None, isolation: str, code: bytes = b""
) -> Ended:
    """Judge an ending.

    `stopped` is why the worker had the job killed, None when it ended by itself. The order of proof
    is: a cancel, a stream past its cap, the wall limit, the processor limit, the status. What the
    process told of itself refines exit code 1, and decides nothing else.
    """
    exit_code, signal_text = _status(ending.status)
    cause = _cause(ending, limits, stopped, exit_code, signal_text)
    outcome, reason, detail, limit = cause
    error = None
    if reason is Reason.TIMEOUT:
        error = caught_in(ending.told, code, detail)
    elif outcome is not Outcome.CANCELLED:
        error = raised(ending.told)
    if error is not None and reason is Reason.EXIT_CODE and exit_code == 1 and "type" in error:
        reason, detail = _exception(error)
    elif error is not None and outcome is Outcome.SUCCESS:
        error = {"threads": error["threads"]} if error.get("threads") else None
    return Ended(
        outcome=outcome,
        reason=reason,
        detail=detail,
        exit_code=exit_code,
        signal=signal_text,
        stdout=ending.stdout,
        stderr=ending.stderr,
        stdout_truncated=ending.stdout_truncated,
        stderr_truncated=ending.stderr_truncated,
        limit=limit,
        usage=Usage(ending.wall_s, ending.cpu_s, ending.max_rss_bytes),
        isolation=isolation,
        error=error,
        confirmed=ending.clean,
    )


def unseen(why: str, limits: Limits, stopped: Reason | None, isolation: str) -> Ended:
    """Judge a job whose end the sandbox did not see: what it was stopped for, else our fault."""
    if stopped is Reason.TIMEOUT:
        text = f"It ran longer than its limit of {limits.wall_s:g} s; {why}."
        hit = LimitHit("wall_s", limits.wall_s, limits.wall_s)
        return Ended(
            Outcome.RUNTIME_ERROR, stopped, text[:2048], limit=hit, isolation=isolation,
            confirmed=False,
        )  # fmt: skip
    if stopped is not None:
        return Ended(Outcome.CANCELLED, stopped, why[:2048], isolation=isolation, confirmed=False)
    return Ended(Outcome.INTERNAL_FAIL, Reason.SANDBOX, why[:2048], isolation=isolation)


def with_check(ended: Ended, checked: Checked) -> Ended:
    """Judge a success by what the check of its output found; the output is kept either way."""
    if checked.ok:
        return evolve(ended, format=checked)
    return evolve(
        ended, outcome=Outcome.FORMAT_ERROR, detail=checked.detail[:MOST_DETAIL], format=checked
    )


def _exception(error: Record) -> tuple[Reason, str]:
    """Name the exception that made the exit code; a program that never began has none but that."""
    where = f" (line {error['line']})" if "line" in error else ""
    message = f": {error['message']}" if error.get("message") else ""
    text = f"{error['type']}{message}{where}"
    if error["type"] in NO_PROGRAM and not error.get("frames"):
        return Reason.SYNTAX_ERROR, f"It is no valid program: {text}."
    return Reason.EXCEPTION, f"It raised {text}."


def _status(status: int) -> tuple[int | None, str | None]:
    if os.WIFSIGNALED(status):
        return None, signal_name(os.WTERMSIG(status))
    return os.WEXITSTATUS(status), None


Cause = tuple[Outcome, Reason | None, str, LimitHit | None]


def _cause(
    ending: Ending,
    limits: Limits,
    stopped: Reason | None,
    exit_code: int | None,
    signal_text: str | None,
) -> Cause:
    error = Outcome.RUNTIME_ERROR
    if stopped is not None and stopped is not Reason.TIMEOUT:
        return Outcome.CANCELLED, stopped, "It was stopped before its end.", None
    hit = _limit(ending, limits, stopped, signal_text)
    if hit is not None:
        return hit
    if signal_text is not None:
        return error, Reason.SIGNAL, f"It was ended by {signal_text}.", None
    if exit_code:
        return error, Reason.EXIT_CODE, f"It ended with exit code {exit_code}.", None
    return Outcome.SUCCESS, None, "", None


def _limit(
    ending: Ending, limits: Limits, stopped: Reason | None, signal_text: str | None
) -> Cause | None:
    error = Outcome.RUNTIME_ERROR
    if ending.full is not None:
        hit = LimitHit("output_bytes", limits.output_bytes, ending.measured)
        text = f"Its {ending.full} passed {limits.output_bytes} bytes, so it was stopped."
        return error, Reason.OUTPUT_LIMIT, text, hit
    past = signal_text == "SIGKILL" or ending.wall_s > limits.wall_s
    if past and signal_text != "SIGXCPU" and (stopped is Reason.TIMEOUT or ending.late):
        hit = LimitHit("wall_s", limits.wall_s, round(ending.wall_s, 3))
        text = f"It ran longer than its limit of {limits.wall_s:g} s and was stopped."
        return error, Reason.TIMEOUT, text, hit
    spent = ending.cpu_s if ending.main_cpu_s is None else ending.main_cpu_s
    # The kernel sends SIGXCPU at the limit, and SIGKILL a second later (rlimits.py).
    ends = {"SIGXCPU": limits.cpu_s, "SIGKILL": math.ceil(limits.cpu_s) + 1}
    if spent >= ends.get(signal_text or "", math.inf) - CPU_SLACK_S:
        hit = LimitHit("cpu_s", limits.cpu_s, round(spent, 3))
        text = f"It used more than its limit of {limits.cpu_s:g} s of processor time."
        return error, Reason.CPU_LIMIT, text, hit
    return None
