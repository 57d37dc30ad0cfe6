"""Tickets, attempts, leases and resumes: what holds whatever happens to links and workers."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant
from link_rules import LinkRules

from runyard.protocols.tasks import OURS, Outcome, Reason, State
from runyard.sched.recovery import MOST_PROOFS, MOST_SHARED

QUIET_S = 2000


class LinkModel(LinkRules):
    """What must hold: a task never runs in two places, ends once, and with its own result."""

    @invariant()
    def no_task_runs_in_two_places(self) -> None:
        assert not self.fleet.clashes

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
    def where_nothing_hinders_them_both_sides_know_the_same_attempts(self) -> None:
        for host in self.fleet.hosts:
            if host.well:
                running = {job.attempt for job in host.jobs()}
                assert running <= host.waited_for() <= running | host.unconfirmed()
                assert self.running_on(host) <= host.waited_for()

    @invariant()
    def where_nothing_hinders_it_nothing_runs_that_was_cancelled_or_given_up(self) -> None:
        known = {t.task.id: t for t in self.submitted}
        for job in (job for host in self.fleet.hosts if host.well for job in host.jobs()):
            ticket = known.get(job.task)
            if ticket is None:
                continue  # an earlier scheduler's
            assert ticket.state is State.RUNNING
            assert ticket.stopping is None
            assert job.attempt == f"{ticket.task.id}.{ticket.serial}"

    @invariant()
    def a_worker_that_lives_forgets_no_attempt(self) -> None:
        reasons = [a.reason or "" for t in self.submitted for a in t.attempts]
        assert not [why for why in reasons if "does not know it any more" in why]

    @invariant()
    def no_host_runs_more_than_its_slots(self) -> None:
        assert all(len(host.jobs()) <= host.slots for host in self.fleet.hosts)

    def teardown(self) -> None:
        """Whatever happened: once all is well again, every task ends, once, and nothing is left."""
        for host in self.fleet.hosts:
            host.blocked_in = host.blocked_out = False
            host.confirm_s = 0.0
            host.thaw(input_first=True)
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


PROFILE = settings(
    max_examples=300,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
