"""What can happen to links, workers and the scheduler, as rules of a state machine."""

from __future__ import annotations

from collections import Counter
from typing import Any

from fakes import a_task
from fleet import Fleet, Host
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)

from runyard.protocols.limits import Limits
from runyard.protocols.tasks import Reason, State
from runyard.sched.tickets import Ticket

HOSTS = st.integers(0, 1)
ENDINGS = st.sampled_from([None, 0, 1 << 8])
SLOTS_HOLD = 0
"""The host whose slots hold the leases themselves, as they must where the worker freezes, or is
heard no more while it hears; the other's worker must see to them once it has lost its link."""
GIVEN_UP_S = 40
"""Longer than it takes to notice a silence and then to hold what was lost."""


class LinkRules(RuleBasedStateMachine):
    """A fleet, and what befalls it."""

    def __init__(self) -> None:
        super().__init__()
        self.fleet = Fleet()
        self.submitted: list[Ticket] = []
        self.ends: Counter[str] = Counter()

    def host(self, number: int) -> Host:
        return self.fleet.hosts[number]

    def running_on(self, host: Host) -> set[str]:
        """List the attempts that run on a host for all that clients are told."""
        running = [t for t in self.submitted if t.state is State.RUNNING]
        here = [t for t in running if t.attempts[-1].worker == host.name]
        return {f"{ticket.task.id}.{ticket.serial}" for ticket in here}

    @initialize(tasks=st.integers(1, 3))
    def begin(self, tasks: int) -> None:
        """Long tasks that may be tried again: without them most of what follows means nothing."""
        for _ in range(tasks):
            self.submit(3, 300.0)

    @rule(attempts=st.integers(1, 3), wall=st.sampled_from([3.0, 300.0, 300.0]))
    def submit(self, attempts: int, wall: float) -> None:
        task = a_task(attempts=attempts, limits=Limits(wall_s=wall))
        ticket = self.fleet.dispatcher.submit(task)
        ticket.wait().addCallback(lambda _: self.ends.update([task.id]))
        self.submitted.append(ticket)
        self.fleet.settle()

    @precondition(lambda self: self.fleet.jobs())
    @rule(data=st.data(), status=st.sampled_from([0, 0, 0, 1 << 8]))
    def a_job_ends(self, data: Any, status: int) -> None:
        data.draw(st.sampled_from(self.fleet.jobs())).end(status)
        self.fleet.settle()

    @precondition(lambda self: any(t.state is not State.FINISH for t in self.submitted))
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        left = [t for t in self.submitted if t.state is not State.FINISH]
        self.stop(data.draw(st.sampled_from(left)))

    def stop(self, ticket: Ticket | None) -> None:
        """Cancel a task, if it is one of this scheduler's."""
        if ticket is not None:
            self.fleet.dispatcher.stop(ticket, Reason.ASKED)
        self.fleet.settle()

    @rule(number=HOSTS, off=st.booleans())
    def cut(self, number: int, off: bool) -> None:
        """The connection breaks, and perhaps no other can be made."""
        host = self.host(number)
        host.cut()
        if off:
            host.deliver()
            host.blocked_in = host.blocked_out = True
        self.fleet.settle()

    @rule(inward=st.booleans(), outward=st.booleans())
    def block(self, inward: bool, outward: bool) -> None:
        host = self.host(SLOTS_HOLD)
        host.blocked_in, host.blocked_out = inward, outward
        self.fleet.settle()

    @rule(number=HOSTS)
    def heal(self, number: int) -> None:
        host = self.host(number)
        host.blocked_in = host.blocked_out = False
        self.fleet.settle()

    @rule(number=HOSTS)
    def lose_what_is_under_way(self, number: int) -> None:
        """A task is sent into a connection of which nothing arrives before it breaks."""
        host = self.host(number)
        host.blocked_in = True
        self.submit(3, 300.0)
        host.cut()
        host.blocked_in = False
        self.fleet.settle()

    @rule(number=HOSTS)
    def hear_on_a_new_connection_first(self, number: int) -> None:
        """What was under way on one that broke arrives when the next is there already."""
        host = self.host(number)
        host.blocked_in = host.old_bytes_wait = True
        self.submit(3, 300.0)
        if host.wire is not None:
            host.wire.client.abortConnection()
        self.heal(number)
        host.old_bytes_wait = False
        self.fleet.settle()

    @rule(number=HOSTS)
    def cut_off_until_given_up(self, number: int) -> None:
        self.cut(number, off=True)
        self.wait_long(GIVEN_UP_S)
        assert not self.running_on(self.host(number))
        self.heal(number)

    @rule(first=st.booleans(), seconds=st.sampled_from([4, 14]))
    def go_silent_one_way_then_the_other(self, first: bool, seconds: int) -> None:
        """For each side the other ends at another time."""
        self.heal(1 - SLOTS_HOLD)
        for _ in range(2):
            self.submit(3, 300.0)
        self.block(inward=first, outward=not first)
        self.wait_long(seconds)
        self.block(inward=True, outward=True)
        self.wait_long(GIVEN_UP_S)
        self.heal(SLOTS_HOLD)

    @precondition(lambda self: self.fleet.jobs())
    @rule(data=st.data(), status=ENDINGS)
    def a_job_ends_or_is_cancelled_behind_a_cut(self, data: Any, status: int | None) -> None:
        job = data.draw(st.sampled_from(self.fleet.jobs()))
        number = self.fleet.hosts.index(job.host)
        self.cut(number, off=True)
        if status is None:
            self.stop({t.task.id: t for t in self.submitted}.get(job.task))
        else:
            job.end(status)
        self.wait(2.0)
        self.heal(number)

    @rule(number=HOSTS, seconds=st.sampled_from([0.0, 3.0, 8.0]))
    def confirm_ends_late(self, number: int, seconds: float) -> None:
        self.host(number).confirm_s = seconds

    @rule()
    def freeze(self) -> None:
        self.host(SLOTS_HOLD).frozen = True

    @rule(input_first=st.booleans())
    def thaw(self, input_first: bool) -> None:
        host = self.host(SLOTS_HOLD)
        host.thaw(input_first=input_first)
        self.fleet.settle()

    @rule(data=st.data(), alone=st.booleans(), late=st.booleans(), status=ENDINGS)
    def freeze_until_given_up(self, data: Any, alone: bool, late: bool, status: int | None) -> None:
        """A worker sleeps through a task that it has just been sent, and through others' ends.

        Where it is alone, what is given up waits for it, and comes back to it. What it has slept
        through it sees first, and then what time it is.
        """
        self.freeze()
        if alone:
            self.cut(1 - SLOTS_HOLD, off=True)
        if late:
            self.confirm_ends_late(SLOTS_HOLD, GIVEN_UP_S)
        for _ in range(2):
            self.submit(3, 300.0)
        jobs = self.host(SLOTS_HOLD).jobs()
        if jobs and status is not None:
            data.draw(st.sampled_from(jobs)).end(status)
        self.wait_long(GIVEN_UP_S)
        self.thaw(input_first=True)
        if late:
            self.wait_long(12)
            self.confirm_ends_late(SLOTS_HOLD, 0)

    @rule(number=HOSTS)
    def restart(self, number: int) -> None:
        self.host(number).restart()
        self.fleet.settle()

    @rule()
    def restart_scheduler(self) -> None:
        """Its tasks are forgotten with it: they end nowhere, and nobody runs them on."""
        self.submitted = [t for t in self.submitted if t.state is State.FINISH]
        self.fleet.restart_scheduler()
        self.fleet.settle()
        self.begin(2)

    @rule(seconds=st.sampled_from([0.5, 2.0, 4.0]))
    def wait(self, seconds: float) -> None:
        self.fleet.advance(seconds)

    @rule(seconds=st.sampled_from([6, 12, 40]))
    def wait_long(self, seconds: int) -> None:
        """Step by step, so that what holds is looked at on the way."""
        for _ in range(seconds // 2):
            self.fleet.advance(2.0)
            assert not self.fleet.clashes
