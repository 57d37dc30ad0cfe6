"""The fleet and the queue as documents: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from runyard.sched.backlog import AGE_S, Backlog, lane_of, urgency
from runyard.sched.dispatcher import Placed
from runyard.sched.documents import timestamp
from runyard.sched.evaluator import Rating, rate
from runyard.sched.roster import Worker

MOST_SHOWN = 100


def worker_document(worker: Worker, ahead: float) -> dict[str, Any]:
    """Give a worker of `GET /workers`; `ahead` is Unix time less the clock's."""
    health = worker.health
    until = health.until
    return {
        "name": worker.name,
        "boot": worker.boot,
        "address": worker.address,
        "state": worker.state,
        "reason": health.reason if worker.state in ("quarantined", "trial") else None,
        "until": timestamp(until + ahead) if until is not None else None,
        "slots": worker.slots,
        "in_use": len(worker.running),
        "quarantined": len(worker.quarantined),
        "isolation": worker.isolation,
        "runtimes": list(worker.runtimes),
        "formats": list(worker.formats),
        "network": worker.network,
    }


def fleet_document(
    workers: Iterable[Worker], unreachable: Mapping[str, str], ahead: float
) -> dict[str, Any]:
    """Give the document of `GET /workers`: who is linked, and the addresses without a link."""
    return {
        "workers": [worker_document(each, ahead) for each in workers],
        "unlinked": [{"address": at, "reason": why} for at, why in sorted(unreachable.items())],
    }


def rating_document(rating: Rating) -> dict[str, Any]:
    """Give a worker's score with its terms."""
    return {
        "worker": rating.name,
        "score": round(rating.score, 4),
        "room": round(rating.room, 4),
        "failures": round(rating.failures, 4),
        "slowness": round(rating.slowness, 4),
        "avoided": rating.avoided,
    }


def scores_document(workers: Iterable[Worker], ahead: float) -> dict[str, Any]:
    """Give each worker with what the evaluator would say of it for a task that avoids none."""
    return {
        "workers": [
            {
                **worker_document(each, ahead),
                "free": each.free,
                "kept_for": each.kept_for,
                "failures": round(each.health.failures, 4),
                "failures_in_row": each.health.in_row,
                "overhead_s": round(each.health.overhead_s, 4),
                "rating": rating_document(rate(each.candidate())),
            }
            for each in workers
        ]
    }


def choices_document(placed: Iterable[Placed]) -> dict[str, Any]:
    """Give the last placements, the latest first, each with the ratings that made it."""
    return {
        "choices": [
            {
                "at": timestamp(each.at),
                "task": each.task,
                "language": each.language,
                "alone": each.alone,
                "worker": each.choice.name,
                "ratings": [rating_document(rating) for rating in each.choice.ratings],
            }
            for each in reversed(list(placed))
        ]
    }


def queue_document(backlog: Backlog, now: float) -> dict[str, Any]:
    """Give the first of those that wait, in their order; `now` is in seconds of the clock."""
    return {
        "pending": len(backlog),
        "bytes": backlog.bytes,
        "first": [
            {
                "task": each.task.id,
                "language": each.task.language,
                "priority": each.task.priority,
                "waited_s": round(now - each.queued_at, 3),
                "urgency": round(urgency(each) + now / AGE_S, 3),
                "alone": lane_of(each).alone,
                "attempts": len(each.attempts),
                "avoids": sorted(each.avoid),
            }
            for each in islice(backlog, MOST_SHOWN)
        ],
    }
