"""The states controller whole, over fake links and a clock."""

from __future__ import annotations

from typing import Any

from fakes import FakeRunner, a_task, a_worker
from twisted.internet.task import Clock

from runyard.sched.attempts import Timing
from runyard.sched.backlog import Backlog
from runyard.sched.dispatcher import Dispatcher, Settings
from runyard.sched.roster import Roster
from runyard.sched.tickets import Ticket, Tickets

TIMING = Timing(grace=2.0, launch=15.0, confirm=5.0)


class Controller:
    """A dispatcher with everything below it."""

    def __init__(self, most: int = 100) -> None:
        self.clock = Clock()
        self.roster = Roster(self.clock)
        self.tickets = Tickets(self.clock.seconds, 1000, 1000, 1 << 30)
        self.backlog = Backlog(most, 1 << 20)
        settings = Settings(start_timeout=300, timing=TIMING)
        self.dispatcher = Dispatcher(
            self.clock, self.tickets, self.backlog, self.roster, settings, luck=lambda: 0.5
        )

    def worker(self, name: str = "w1", slots: int = 1) -> FakeRunner:
        worker, runner = a_worker(name, slots)
        self.roster.up(worker)
        return runner

    def submit(self, **more: Any) -> Ticket:
        return self.dispatcher.submit(a_task(**more))

    def quiet(self) -> bool:
        return not self.clock.getDelayedCalls() and not self.roster.slots_in_use


def only(runner: FakeRunner) -> str:
    (attempt,) = runner.runs
    return attempt
