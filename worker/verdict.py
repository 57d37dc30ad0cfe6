"""From what the sandbox saw to what the user is told: pure."""

from __future__ import annotations

import os
import signal

from attrs import evolve

from runyard.protocols.checked import Checked
from runyard.protocols.inspected import Record
from runyard.protocols.limits import Limits
from runyard.protocols.tasks import Ended, LimitHit, Outcome, Reason, Usage
from runyard.worker.causes import memory_limit, proven_limit, refusals, refused_limit
from runyard.worker.inspect import caught_in, raised
from runyard.worker.sandbox.interface import Ending

MOST_DETAIL = 1024
NO_PROGRAM = ("SyntaxError", "IndentationError", "TabError")
"""Without a frame, what was raised before the program began; one within it has frames."""


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
    is: a cancel, the limits (causes.py), the status. What the process told of itself refines exit
    code 1 and what it was refused, and decides nothing else.
    """
    exit_code, signal_text = _status(ending.status)
    outcome, reason, detail, limit = _cause(ending, limits, stopped, signal_text)
    error = None
    if reason is Reason.TIMEOUT:
        error = caught_in(ending.told, code, detail)
    elif outcome is not Outcome.CANCELLED:
        error = raised(ending.told)
    refused = refused_limit(ending, limits, error) if reason is Reason.EXIT_CODE else None
    if refused is not None:
        reason, detail, limit = refused
    elif error is not None and reason is Reason.EXIT_CODE and exit_code == 1 and "type" in error:
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
        files=ending.files,
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


def _cause(
    ending: Ending, limits: Limits, stopped: Reason | None, signal_text: str | None
) -> tuple[Outcome, Reason | None, str, LimitHit | None]:
    """Tell what the wait status and what was measured prove."""
    if stopped is not None and stopped is not Reason.TIMEOUT:
        return Outcome.CANCELLED, stopped, "It was stopped before its end.", None
    hit = proven_limit(ending, limits, stopped, signal_text)
    if hit is None and ending.status != 0:
        hit = memory_limit(ending, limits)
    if hit is not None:
        return Outcome.RUNTIME_ERROR, *hit
    if signal_text is not None:
        text = f"It was ended by {signal_text}."
        return Outcome.RUNTIME_ERROR, Reason.SIGNAL, text, None
    if ending.status != 0:
        text = f"It ended with exit code {os.WEXITSTATUS(ending.status)}"
        text += f"{refusals(ending, limits)}."
        return Outcome.RUNTIME_ERROR, Reason.EXIT_CODE, text, None
    return Outcome.SUCCESS, None, "", None
