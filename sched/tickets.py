"""A ticket a task: where it is, what was tried, who waits for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import Deferred

from runyard.protocols.tasks import Ended, Outcome, Reason, State, Task
from runyard.sched.recovery import Tally

_MOVES = {
    State.PENDING: {State.RUNNING, State.FINISH},
    State.RUNNING: {State.PENDING, State.FINISH},
    State.FINISH: set[State](),
}


@define
class AttemptRecord:
    """One attempt, in Unix seconds.

    Attributes:
        failure: The outcome that it would have had.
    """

    number: int
    worker: str
    started_at: float
    ended_at: float | None = None
    failure: Outcome | None = None
    reason: str | None = None


@define(eq=False)
class Ticket:
    """A task's life. Several may wait for it; each has a Deferred of its own.

    Attributes:
        stopping: Why its end was asked for, None while it was not.
        avoid: Names of the workers on which an attempt failed.
        owners: Callers without whom it is not to go on.
        kept: Whether it goes on without owners.
        serial: Number of the last attempt that was sent out, the refused ones among them.
        overdue: Whether its time to start has passed while an attempt was under way.
        queued_at: When it first came into the queue, in seconds of the clock.
        tally: What has befallen it.
        marks: When it passed each hop, in seconds of the clock; the debug server shows them.
    """

    task: Task
    created_at: float
    kept: bool = False
    state: State = State.PENDING
    ended: Ended | None = None
    stopping: Reason | None = None
    owners: int = 0
    started_at: float | None = None
    finished_at: float | None = None
    serial: int = 0
    overdue: bool = False
    queued_at: float = 0.0
    tally: Tally = field(factory=Tally)
    attempts: list[AttemptRecord] = field(factory=list)
    avoid: set[str] = field(factory=set)
    marks: dict[str, float] = field(factory=dict)
    _waiters: set[Deferred[None]] = field(factory=set)

    def move(self, state: State) -> None:
        """Change the state; a move that the life of a task does not have is a bug."""
        if state not in _MOVES[self.state]:
            raise RuntimeError(f"task {self.task.id}: {self.state} cannot become {state}")
        self.state = state

    def wait(self) -> Deferred[None]:
        """Fire when it is finished. Cancelling takes away this waiter and no other."""
        waiter: Deferred[None] = Deferred(self._waiters.discard)
        if self.state is State.FINISH:
            waiter.callback(None)
        else:
            self._waiters.add(waiter)
        return waiter

    def finish(self, ended: Ended, now: float) -> None:
        """Record how it ended, once, and tell everybody who waits."""
        self.move(State.FINISH)
        self.ended = ended
        self.finished_at = now
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            waiter.callback(None)

    @property
    def result(self) -> Ended:
        """How it ended; asking before it is finished is a bug."""
        if self.ended is None:
            raise RuntimeError(f"task {self.task.id} has not finished")
        return self.ended

    @property
    def size(self) -> int:
        """Bytes that it holds in memory, roughly."""
        held = self.task.size + 2048
        if self.ended is not None:
            held += len(self.ended.stdout) + len(self.ended.stderr) + self.ended.files.size
        return held


class Tickets:
    """All tickets by id: the unfinished ones, and finished ones for a while.

    Finished ones are forgotten after `keep` seconds, and the oldest of them earlier where they are
    more than `keep_tasks` or hold more than `keep_bytes`.
    """

    def __init__(
        self, now: Callable[[], float], keep: float, keep_tasks: int, keep_bytes: int
    ) -> None:
        self.now = now
        self._keep = keep
        self._keep_tasks = keep_tasks
        self._keep_bytes = keep_bytes
        self._open: dict[str, Ticket] = {}
        self._finished: OrderedDict[str, Ticket] = OrderedDict()
        self._bytes = 0

    def open(self, task: Task) -> Ticket:
        """Make a task's ticket."""
        ticket = Ticket(task, self.now(), kept=task.keep_on_disconnect)
        self._open[task.id] = ticket
        return ticket

    def get(self, task_id: str) -> Ticket | None:
        """Find a ticket."""
        self.prune()
        return self._open.get(task_id) or self._finished.get(task_id)

    def unfinished(self) -> list[Ticket]:
        """List the tickets that are not finished."""
        return list(self._open.values())

    def __len__(self) -> int:
        return len(self._open) + len(self._finished)

    def finish(self, ticket: Ticket, ended: Ended) -> None:
        """Record a ticket's end."""
        del self._open[ticket.task.id]
        self._finished[ticket.task.id] = ticket
        ticket.finish(ended, self.now())
        self._bytes += ticket.size
        self.prune()

    def prune(self) -> None:
        """Forget what is too old or too much."""
        oldest = self.now() - self._keep
        while self._finished:
            first = next(iter(self._finished.values()))
            crowded = len(self._finished) > self._keep_tasks or self._bytes > self._keep_bytes
            if not crowded and (first.finished_at or 0) > oldest:
                return
            del self._finished[first.task.id]
            self._bytes -= first.size
