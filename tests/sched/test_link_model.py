"""Tickets, attempts, leases and resumes under everything that can happen to links and workers."""

from __future__ import annotations

from collections import Counter
from typing import Any

from fakes import a_task
from fleet import Fleet, Host
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from runyard.protocols.limits import Limits
from runyard.protocols.tasks import OURS, Outcome, Reason, State
from runyard.sched.recovery import MOST_PROOFS, MOST_SHARED
from runyard.sched.tickets import Ticket

HOSTS = st.integers(0, 1)
QUIET_S = 2000


class LinkModel(RuleBasedStateMachine):
    """What must hold: a task never runs in two places, ends once, and with its own result."""

    def __init__(self) -> None:
        super().__init__()
        self.fleet = Fleet()
        self.submitted: list[Ticket] = []
        self.ends: Counter[str] = Counter()

    def host(self, number: int) -> Host:
        return self.fleet.hosts[number]

    @initialize()
    def begin(self) -> None:
        """Long tasks that may be tried again: without them most of what follows means nothing."""
        for _ in range(2):
            self.submit(3, 300.0)

    @rule(attempts=st.integers(1, 3), wall=st.sampled_from([3.0, 300.0]))
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
        self.fleet.dispatcher.stop(data.draw(st.sampled_from(left)), Reason.ASKED)
        self.fleet.settle()

    @rule(number=HOSTS)
    def cut(self, number: int) -> None:
        self.host(number).cut()
        self.fleet.settle()

    @rule(number=HOSTS)
    def cut_off(self, number: int) -> None:
        """The connection breaks at once, and no other can be made."""
        host = self.host(number)
        host.cut()
        host.deliver()
        host.blocked_in = host.blocked_out = True
        self.fleet.settle()

    @rule(number=HOSTS, inward=st.booleans(), outward=st.booleans())
    def block(self, number: int, inward: bool, outward: bool) -> None:
        host = self.host(number)
        host.blocked_in, host.blocked_out = inward, outward
        self.fleet.settle()

    @rule(number=HOSTS)
    def freeze(self, number: int) -> None:
        self.host(number).frozen = True

    @rule(number=HOSTS)
    def thaw(self, number: int) -> None:
        host = self.host(number)
        host.frozen = False
        host.pass_time()
        self.fleet.settle()

    @rule(number=HOSTS)
    def restart(self, number: int) -> None:
        self.host(number).restart()
        self.fleet.settle()

    @rule(seconds=st.sampled_from([0.5, 2.0, 4.0]))
    def wait(self, seconds: float) -> None:
        self.fleet.advance(seconds)

    @rule(seconds=st.sampled_from([6.0, 12.0, 40.0]))
    def wait_long(self, seconds: float) -> None:
        """Step by step, so that what holds is looked at on the way."""
        for _ in range(int(seconds / 2)):
            self.fleet.advance(2.0)
            self.no_task_runs_in_two_places()

    @invariant()
    def no_task_runs_in_two_places(self) -> None:
        running = Counter(job.job.attempt.partition(".")[0] for job in self.fleet.jobs())
        assert not [task for task, count in running.items() if count > 1], running

    @invariant()
    def no_attempt_starts_twice_and_none_too_often(self) -> None:
        assert not [a for a, count in Counter(self.fleet.starts).items() if count > 1]
        starts = Counter(attempt.partition(".")[0] for attempt in self.fleet.starts)
        for ticket in self.submitted:
            cap = ticket.task.attempts
            assert starts[ticket.task.id] <= (1 if cap == 1 else cap + MOST_SHARED)

    @invariant()
    def a_success_is_that_of_the_task_s_last_attempt(self) -> None:
        for ticket in self.submitted:
            if ticket.ended is not None and ticket.ended.outcome is Outcome.SUCCESS:
                expected = f"{ticket.task.id}.{ticket.serial}"
                assert ticket.ended.stdout.decode() == expected

    @invariant()
    def no_host_runs_more_than_its_slots(self) -> None:
        assert all(len(host.jobs()) <= host.slots for host in self.fleet.hosts)

    def teardown(self) -> None:
        """Whatever happened: once all is well again, every task ends, once, and nothing is left."""
        for host in self.fleet.hosts:
            host.frozen = host.blocked_in = host.blocked_out = False
            host.pass_time()
        for _ in range(QUIET_S // 10):
            self.fleet.advance(10)
            for job in self.fleet.jobs():
                job.end()
            self.fleet.settle()
            if all(t.state is State.FINISH for t in self.submitted) and not self.fleet.jobs():
                break
        self.fleet.advance(60)
        for ticket in self.submitted:
            assert ticket.ended is not None, ticket
            if ticket.ended.outcome in OURS:
                if ticket.ended.reason is Reason.POISON:
                    assert ticket.tally.proofs == MOST_PROOFS
                else:
                    assert ticket.task.attempts in (1, ticket.tally.counted)
        assert self.ends == Counter(t.task.id for t in self.submitted)
        assert self.fleet.roster.slots_in_use == 0
        assert all(host.factory.settled for host in self.fleet.hosts)
        counts = self.fleet.dispatcher.counts()
        assert (counts["unfinished"], counts["running"], counts["waiting_for_retry"]) == (0, 0, 0)


TestLinkModel = LinkModel.TestCase
TestLinkModel.settings = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
