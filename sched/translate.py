"""Between the scheduler's values and the protocol's messages: pure."""

from __future__ import annotations

from runyard.protocols.checked import read_checked
from runyard.protocols.errors import ProtocolError
from runyard.protocols.files import pack, unpack
from runyard.protocols.inspected import read_record
from runyard.protocols.limits import RANGES, limits_document
from runyard.protocols.messages import Result, Run
from runyard.protocols.tasks import Ended, LimitHit, Outcome, Reason, Task, Usage
from runyard.protocols.texts import join_texts

REASONS = frozenset(Reason)
MOST_NUMBER = 1e300
MOST_NAME = 32
"""Characters of a limit's name, known or not."""


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
        format=task.format.name if task.format is not None else "",
        schema=(task.format.schema or "") if task.format is not None else "",
        fresh=task.fresh,
        collect=True,
        network=task.network,
        code=task.code,
        stdin=task.stdin,
        files=pack(task.files),
    )


def ended_of(result: Result) -> Ended:
    """Build the end of an attempt from a worker's words, each of them checked.

    Raises:
        ProtocolError: its outcome is unknown, or its limit or its files are not of their form. A
            reason or a limit that is unknown may be a newer worker's: it is told in the detail.
    """
    try:
        outcome = Outcome(result.outcome)
    except ValueError as error:
        raise ProtocolError(f"Result: {str(error)[:100]}") from None
    limit, reason = _limit(result), result.reason
    unknown = []
    if reason is not None and reason not in REASONS:
        unknown.append(f"reason {reason}")
        reason = None
    if limit is not None and limit.name not in RANGES:
        allowed, measured = limit.allowed, limit.measured
        unknown.append(f"limit {limit.name}: {allowed:g} allowed, {measured:g} measured")
        limit = None
    return Ended(
        outcome=outcome,
        reason=Reason(reason) if reason is not None else None,
        detail=f"{result.detail} ({'; '.join(unknown)})".strip() if unknown else result.detail,
        exit_code=result.exit_code,
        signal=result.signal,
        stdout=result.stdout,
        stderr=result.stderr,
        stdout_truncated=result.stdout_truncated,
        stderr_truncated=result.stderr_truncated,
        limit=limit,
        usage=Usage(result.wall_s, result.cpu_s, result.max_rss_bytes),
        isolation=result.isolation,
        confirmed=result.confirmed,
        error=read_record(result.error) if result.error else None,
        format=read_checked(result.format),
        files=unpack(result.files),
    )


def _limit(result: Result) -> LimitHit | None:
    if not result.limit:
        return None
    name, *rest = result.limit
    numbers = [n for n in rest if isinstance(n, (int, float)) and abs(n) <= MOST_NUMBER]
    if len(numbers) != 2 or not isinstance(name, str) or len(name) > MOST_NAME:
        raise ProtocolError("Result.limit must be a limit's name and two numbers")
    return LimitHit(name, *numbers)
