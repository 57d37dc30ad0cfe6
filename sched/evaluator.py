"""The choice of a worker for a task: pure, and explained."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

MOST_CANDIDATES = 16
FAILURE_COST = 2.0
SLOWNESS_COST = 1.0
"""For each second that the worker takes beyond its programs' own time."""
SLOWEST_S = 2.0
AVOID_COST = 10.0


@frozen
class Candidate:
    """A worker with room, as the evaluator sees it.

    Attributes:
        failures: Share of its recent attempts that failed by no doing of their task, 0 to 1.
        overhead_s: What its recent attempts took beyond their programs' own time.
    """

    name: str
    slots: int
    free: int
    failures: float = 0.0
    overhead_s: float = 0.0


@frozen
class Rating:
    """Why a candidate got its score: the sum of the terms; the highest is taken."""

    name: str
    room: float
    failures: float
    slowness: float
    avoided: float

    @property
    def score(self) -> float:
        """The sum of the terms."""
        return self.room + self.failures + self.slowness + self.avoided


def rate(candidate: Candidate, avoid: frozenset[str] = frozenset()) -> Rating:
    """Rate a candidate.

    Room counts most (the share of slots that are free); recent failures of ours and slowness count
    against it, and a worker on which this task has failed before is taken only for want of others.
    """
    return Rating(
        candidate.name,
        room=candidate.free / candidate.slots,
        failures=-FAILURE_COST * candidate.failures,
        slowness=-SLOWNESS_COST * min(candidate.overhead_s, SLOWEST_S),
        avoided=-AVOID_COST if candidate.name in avoid else 0.0,
    )


@frozen
class Choice:
    """A choice, with the ratings that made it, best first; none fitted where they are empty."""

    ratings: tuple[Rating, ...]

    @property
    def name(self) -> str | None:
        """The worker that was taken."""
        return self.ratings[0].name if self.ratings else None


def choose(candidates: Sequence[Candidate], avoid: frozenset[str] = frozenset()) -> Choice:
    """Pick the best candidate, the first of equals."""
    fit = [rate(each, avoid) for each in candidates[:MOST_CANDIDATES] if each.free > 0]
    return Choice(tuple(sorted(fit, key=lambda each: -each.score)))
