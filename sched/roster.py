"""The workers that are linked now, and who of them has room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from runyard.protocols.tasks import Ended, Reason, Task
from runyard.sched.evaluator import MOST_CANDIDATES, Candidate

REST_S = 0.1
REST_MOST_S = 5.0
FAILURE_WEIGHT = 0.7
"""What an attempt adds to, and each later one leaves of, a worker's recent failures."""


class Runner(Protocol):
    """What the roster's users ask of a worker's link."""

    @property
    def lost(self) -> Deferred[None]:
        """Fires when the present connection is gone."""

    @property
    def busy(self) -> bool:
        """Whether the worker reads slower than we write."""

    def run(self, attempt: str, task: Task, started: Callable[[], None]) -> Deferred[Ended]:
        """Start an attempt: fires with its end, or fails with LinkLost or Refused."""

    def cancel(self, attempt: str, reason: Reason) -> None:
        """Ask for the end of an attempt; what came of it comes by the attempt's Deferred."""

    def drain(self, *, leave: bool) -> None:
        """Ask the worker to take nothing new, and with `leave` to end once it is idle."""


@define(eq=False)
class Worker:
    """A linked worker.

    Attributes:
        running: Ids of the attempts that hold its slots.
        quarantined: Of those, the ones whose end it did not confirm in time.
        failures: Recent failures of ours on it, from 0 (none).
        refusals: How often in a row it refused an attempt.
        resting: Whether it gets nothing for a while, because it refused one.
    """

    name: str
    boot: str
    address: str
    slots: int
    isolation: str
    runtimes: tuple[str, ...]
    link: Runner
    draining: bool = False
    running: set[str] = field(factory=set)
    quarantined: set[str] = field(factory=set)
    failures: float = 0.0
    refusals: int = 0
    resting: bool = False

    @property
    def free(self) -> int:
        """How many more attempts it takes now."""
        if self.draining or self.resting or self.link.busy:
            return 0
        return self.slots - len(self.running)

    def candidate(self) -> Candidate:
        """What the evaluator looks at."""
        return Candidate(self.name, self.slots, self.free, self.failures)


class Roster:
    """Workers by name, with an index of those that have room by runtime."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self.workers: dict[str, Worker] = {}
        self.runtimes_seen: set[str] = set()
        self.room: Callable[[], None] = lambda: None
        """Called when a slot became free."""
        self.joined: Callable[[Worker], None] = lambda worker: None
        """Called when a worker has proven itself."""
        self._free: dict[str, dict[str, Worker]] = {}

    def __iter__(self) -> Iterator[Worker]:
        return iter(self.workers.values())

    @property
    def slots_in_use(self) -> int:
        """Attempts that hold a slot anywhere."""
        return sum(len(worker.running) for worker in self)

    def up(self, worker: Worker) -> None:
        """A worker has proven itself."""
        self.workers[worker.name] = worker
        self.runtimes_seen.update(worker.runtimes)
        self.joined(worker)
        self.refresh(worker)

    def down(self, worker: Worker) -> None:
        """A worker's link ended."""
        if self.workers.get(worker.name) is worker:
            del self.workers[worker.name]
        self._unindex(worker)

    def take(self, worker: Worker, attempt: str) -> None:
        """An attempt takes a slot; the worker goes behind the others with room."""
        worker.running.add(attempt)
        self._unindex(worker)
        self.refresh(worker, tell=False)

    def release(self, worker: Worker, attempt: str, *, failed: bool, refused: bool = False) -> None:
        """An attempt left its slot; a worker that refused one is left alone for a while."""
        if refused:
            self._rest(worker)
        else:
            worker.refusals = 0
        worker.running.discard(attempt)
        worker.quarantined.discard(attempt)
        worker.failures = worker.failures * FAILURE_WEIGHT + (1 - FAILURE_WEIGHT) * failed
        self.refresh(worker)

    def _rest(self, worker: Worker) -> None:
        worker.refusals += 1
        worker.resting = True
        pause = min(REST_S * 2.0 ** (worker.refusals - 1), REST_MOST_S)
        self._clock.callLater(pause, self._rested, worker)

    def _rested(self, worker: Worker) -> None:
        worker.resting = False
        self.refresh(worker)

    def quarantine(self, worker: Worker, attempt: str) -> None:
        """An attempt's end was not confirmed: its slot stays taken."""
        worker.quarantined.add(attempt)

    def refresh(self, worker: Worker, *, tell: bool = True) -> None:
        """Look again whether a worker has room."""
        if self.workers.get(worker.name) is not worker or worker.free <= 0:
            self._unindex(worker)
            return
        for runtime in worker.runtimes:
            self._free.setdefault(runtime, {})[worker.name] = worker
        if tell:
            self.room()

    def with_room(self, runtime: str) -> list[Worker]:
        """Give at most 16 workers that have room for a runtime, the longest unused first."""
        return list(islice(self._free.get(runtime, {}).values(), MOST_CANDIDATES))

    def _unindex(self, worker: Worker) -> None:
        for runtime in worker.runtimes:
            free = self._free.get(runtime, {})
            if free.get(worker.name) is worker:
                del free[worker.name]
