"""The workers that are linked now, and who of them has room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from itertools import islice
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from runyard.protocols.tasks import Ended, Reason, Task
from runyard.sched.evaluator import MOST_CANDIDATES, Candidate
from runyard.sched.health import Health
from runyard.sched.needs import Need, met_by

REST_S = 0.1
REST_MOST_S = 5.0
MOST_DOUBLED = 16
MOST_HEALTHS = 4096
"""Names of workers whose health is remembered."""

log = Logger()


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
        files: Whether it takes tasks with files.
        running: Ids of the attempts that hold its slots.
        quarantined: Of those, the ones whose end it did not confirm in time.
        health: What its last attempts were like.
        refusals: How often in a row it refused an attempt.
        resting: Whether it gets nothing for a while, because it refused one.
        kept_for: Id of the task that is to run on it alone.
    """

    name: str
    boot: str
    address: str
    slots: int
    isolation: str
    runtimes: tuple[str, ...]
    link: Runner
    formats: tuple[str, ...] = ()
    files: bool = False
    network: bool = False
    draining: bool = False
    running: set[str] = field(factory=set)
    quarantined: set[str] = field(factory=set)
    health: Health = field(factory=Health)
    refusals: int = 0
    resting: bool = False
    kept_for: str | None = None

    @property
    def meets(self) -> tuple[Need, ...]:
        """Every need of a task that it meets."""
        return met_by(self.runtimes, self.formats, files=self.files, network=self.network)

    @property
    def state(self) -> str:
        """The word for it: draining, quarantined, trial, resting, or ready."""
        if self.draining:
            return "draining"
        if self.health.until is not None:
            return "quarantined"
        if self.health.on_trial:
            return "trial"
        return "resting" if self.resting else "ready"

    @property
    def free(self) -> int:
        """How many more attempts it takes now, of tasks that may run beside others."""
        return 0 if self.kept_for is not None else self.room

    @property
    def room(self) -> int:
        """How many more attempts it can take now."""
        # One on trial that refuses rests too, or both would go on at it without a pause.
        if self.resting or self.state in ("draining", "quarantined") or self.link.busy:
            return 0
        most = 1 if self.health.on_trial else self.slots
        return max(0, most - len(self.running))

    @property
    def takes_work(self) -> bool:
        """Whether it does, or will once it has room."""
        return self.state not in ("draining", "quarantined")

    def candidate(self) -> Candidate:
        """What the evaluator looks at."""
        health = self.health
        return Candidate(self.name, self.slots, self.free, health.failures, health.overhead_s)


def host_of(address: str) -> str:
    """Give the IP address within a worker's address; empty for a unix socket."""
    kind, _, rest = address.partition(":")
    return "" if kind == "unix" else rest.rpartition(":")[0].strip("[]")


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
        self._hosts: dict[str, str] = {}
        self.unreachable: dict[str, str] = {}
        """Addresses that have no link just now, and why."""
        self.formats_seen: set[str] = set()
        self.network_seen = False
        self._free: dict[Need, dict[str, Worker]] = {}
        self._healths: OrderedDict[str, Health] = OrderedDict()

    def __iter__(self) -> Iterator[Worker]:
        return iter(self.workers.values())

    @property
    def slots_in_use(self) -> int:
        """Attempts that hold a slot anywhere."""
        return sum(len(worker.running) for worker in self)

    def up(self, worker: Worker) -> None:
        """A worker has proven itself."""
        self.workers[worker.name] = worker
        worker.health = self._healths.setdefault(worker.name, worker.health)
        self._healths.move_to_end(worker.name)
        if len(self._healths) > MOST_HEALTHS:
            self._healths.popitem(last=False)
        self.runtimes_seen.update(worker.runtimes)
        self.formats_seen.update(worker.formats)
        self.network_seen = self.network_seen or worker.network
        self._hosts[worker.name] = host_of(worker.address)
        self.joined(worker)
        self.refresh(worker)

    def down(self, worker: Worker) -> None:
        """A worker's link ended."""
        if self.workers.get(worker.name) is worker:
            del self.workers[worker.name]
            del self._hosts[worker.name]
        self._unindex(worker)

    def is_host(self, ip: str) -> bool:
        """Whether a linked worker is at an IP address; loopback is nobody's."""
        return bool(ip) and ip in self._hosts.values() and not ip_address(ip).is_loopback

    def take(self, worker: Worker, attempt: str) -> None:
        """An attempt takes a slot; the worker goes behind the others with room."""
        worker.running.add(attempt)
        self._unindex(worker)
        self.refresh(worker, tell=False)

    def release(self, worker: Worker, attempt: str, *, refused: bool = False) -> None:
        """An attempt left its slot; a worker that refused one is left alone for a while."""
        if refused:
            self._rest(worker)
        else:
            worker.refusals = 0
        worker.running.discard(attempt)
        worker.quarantined.discard(attempt)
        self.refresh(worker)

    def failed(self, worker: Worker, task: str, why: str) -> None:
        """An attempt failed on it, by no doing of its task."""
        pause = worker.health.failed(task, why, self._clock.seconds())
        if pause is None:
            return
        log.warn(
            "worker {name} fails what it gets; it gets nothing for {pause:g} s (last: {why})",
            name=worker.name, pause=pause, why=why,
        )  # fmt: skip
        self._clock.callLater(pause, self._released, worker.name, worker.health)
        self.refresh(worker)

    def _released(self, name: str, health: Health) -> None:
        health.until = None
        worker = self.workers.get(name)
        if worker is not None:
            self.refresh(worker)

    def _rest(self, worker: Worker) -> None:
        worker.refusals += 1
        worker.resting = True
        pause = min(REST_S * 2.0 ** min(worker.refusals - 1, MOST_DOUBLED), REST_MOST_S)
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
            if tell and worker.kept_for is not None:
                self.room()
            return
        for need in worker.meets:
            self._free.setdefault(need, {})[worker.name] = worker
        if tell:
            self.room()

    def with_room(self, need: Need) -> list[Worker]:
        """Give at most 16 workers that have room and meet a need, the longest unused first."""
        return list(islice(self._free.get(need, {}).values(), MOST_CANDIDATES))

    def _unindex(self, worker: Worker) -> None:
        for need in worker.meets:
            free = self._free.get(need, {})
            if free.get(worker.name) is worker:
                del free[worker.name]
