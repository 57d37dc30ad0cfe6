"""The choice of a worker for a task: pure."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

MOST_CANDIDATES = 16
FAILURE_COST = 2.0
AVOID_COST = 10.0


@frozen
class Candidate:
    """A worker with room, as the evaluator sees it."""

    name: str
    slots: int
    free: int
    failures: float = 0.0


def score(candidate: Candidate, avoid: frozenset[str]) -> float:
    """Rate a candidate; the highest is taken.

    Room counts most (the share of slots that are free), recent failures of ours count against it,
    and a worker on which this task has failed before is taken only when there is no other.
    """
    share = candidate.free / candidate.slots
    cost = FAILURE_COST * candidate.failures
    return share - cost - (AVOID_COST if candidate.name in avoid else 0.0)


def choose(
    candidates: Sequence[Candidate], avoid: frozenset[str] = frozenset()
) -> Candidate | None:
    """Pick the best candidate, the first of equals, or none."""
    fit = [each for each in candidates[:MOST_CANDIDATES] if each.free > 0]
    return max(fit, key=lambda each: score(each, avoid), default=None)
