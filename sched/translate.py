"""Between the scheduler's values and the protocol's messages: pure."""

from __future__ import annotations

import math

from runyard.protocols.errors import ProtocolError
from runyard.protocols.limits import RANGES, limits_document
from runyard.protocols.messages import Result, Run
from runyard.protocols.tasks import Ended, LimitHit, Outcome, Reason, Task, Usage
from runyard.protocols.texts import join_texts


def run_of(attempt: str, task: Task, lease: float, beat: int) -> Run:
    """Build the Run that starts an attempt of a task."""
    return Run(
        attempt=attempt,
        language=task.language,
        limits=limits_document(task.limits),
        lease=lease,
        beat=beat,
        args=join_texts(task.args),
        env=join_texts(f"{name}={value}" for name, value in task.env),
        code=task.code,
        stdin=task.stdin,
    )


def ended_of(result: Result) -> Ended:
    """Build the end of an attempt from a worker's words, each of them checked.

    Raises:
        ProtocolError: an outcome, a reason or a limit is not of the closed lists.
    """
    try:
        outcome = Outcome(result.outcome)
        reason = Reason(result.reason) if result.reason is not None else None
    except ValueError as error:
        raise ProtocolError(f"Result: {str(error)[:100]}") from None
    return Ended(
        outcome=outcome,
        reason=reason,
        detail=result.detail,
        exit_code=result.exit_code,
        signal=result.signal,
        stdout=result.stdout,
        stderr=result.stderr,
        stdout_truncated=result.stdout_truncated,
        stderr_truncated=result.stderr_truncated,
        limit=_limit(result),
        usage=Usage(result.wall_s, result.cpu_s, result.max_rss_bytes),
        isolation=result.isolation,
        confirmed=result.confirmed,
    )


def _limit(result: Result) -> LimitHit | None:
    if not result.limit:
        return None
    name, *rest = result.limit
    numbers = [n for n in rest if isinstance(n, (int, float)) and math.isfinite(n)]
    if len(numbers) != 2 or not isinstance(name, str) or name not in RANGES:
        raise ProtocolError("Result.limit must be a limit's name and two numbers")
    return LimitHit(name, *numbers)
