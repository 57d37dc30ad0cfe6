"""Faults put into the classes of both daemons, to see that the model of the links finds them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runyard.protocols.messages import Ack, Result, Run
from runyard.protocols.tasks import Ended
from runyard.sched.connection import WorkerConnection
from runyard.sched.session import Leases, WorkerSession
from runyard.worker.link import ControllerLink
from runyard.worker.session import Session

Mutation = Callable[[pytest.MonkeyPatch], None]


def a_lost_attempt_is_not_held(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Leases, "hold", lambda self, lease: lease * 0.5)


def a_late_run_is_taken(patch: pytest.MonkeyPatch) -> None:
    right = Session.run

    def wrong(self: Session, message: Run, sent_at: float) -> None:
        """Do as without the check: with what is left of its lease, which is next to nothing."""
        right(self, message, max(sent_at, self._clock.seconds() - message.lease + 1e-6))

    patch.setattr(Session, "run", wrong)


def a_run_s_lease_counts_from_its_arrival(patch: pytest.MonkeyPatch) -> None:
    right = Session.run

    def wrong(self: Session, message: Run, sent_at: float) -> None:
        right(self, message, self._clock.seconds())

    patch.setattr(Session, "run", wrong)


def unknown_attempts_are_kept(patch: pytest.MonkeyPatch) -> None:
    right = WorkerSession.inventory

    def wrong(self: WorkerSession, known: set[str]) -> None:
        right(self, known | set(self._pending))

    patch.setattr(WorkerSession, "inventory", wrong)


def what_never_arrived_is_lost(patch: pytest.MonkeyPatch) -> None:
    right = WorkerSession.inventory

    def wrong(self: WorkerSession, known: set[str]) -> None:
        for pending in self._pending.values():
            pending.has_started = True
        right(self, known)

    patch.setattr(WorkerSession, "inventory", wrong)


def unwanted_attempts_run_on(patch: pytest.MonkeyPatch) -> None:
    right = Session.resume

    def wrong(self: Session, wanted: list[str]) -> None:
        unwanted = set(self._running) - set(wanted)
        held = {attempt: self._running.pop(attempt) for attempt in unwanted}
        right(self, wanted)
        self._running.update(held)

    patch.setattr(Session, "resume", wrong)


def an_older_attempt_s_result_is_taken(patch: pytest.MonkeyPatch) -> None:
    right = WorkerSession.ended

    def wrong(self: WorkerSession, attempt: str, ended: Ended) -> bool:
        task = attempt.partition(".")[0]
        same = [each for each in self._pending if each.partition(".")[0] == task]
        return right(self, attempt if attempt in self._pending or not same else same[0], ended)

    patch.setattr(WorkerSession, "ended", wrong)


def a_result_is_acknowledged_and_not_taken(patch: pytest.MonkeyPatch) -> None:
    """Only where others are waited for beside it: where none ever was taken, a blind one sees."""
    right = WorkerConnection.on_result

    def wrong(self: WorkerConnection, message: Result) -> None:
        if self.session is not None and len(self.session._pending) > 1:
            self.send(Ack(attempt=message.attempt, discarded=False))
        else:
            right(self, message)

    patch.setattr(WorkerConnection, "on_result", wrong)


def a_result_is_not_kept_without_a_link(patch: pytest.MonkeyPatch) -> None:
    right = Session._ended

    def wrong(self: Session, attempt: str, ended: Ended) -> None:
        right(self, attempt, ended)
        if self.link is None:
            self._finished.forget(attempt)

    patch.setattr(Session, "_ended", wrong)


def the_worker_holds_no_lease(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Session, "_expired", lambda self, attempt: None)


def bytes_that_come_late_renew_the_lease(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ControllerLink, "alive_at", property(lambda self: self.clock.seconds()))


def a_cancel_is_not_sent_again(patch: pytest.MonkeyPatch) -> None:
    right = WorkerSession.inventory

    def wrong(self: WorkerSession, known: set[str]) -> None:
        for pending in self._pending.values():
            pending.cancelling = None
        right(self, known)

    patch.setattr(WorkerSession, "inventory", wrong)


def a_refusal_is_not_heard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(WorkerConnection, "on_refused", lambda self, message: None)


def an_older_link_goes_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Session, "linked", lambda self, link: setattr(self, "link", link))


def a_new_process_proves_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(WorkerSession, "dead", lambda self, why: None)


def what_is_lost_is_held_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Leases, "hold", lambda self, lease: 1e9)


MUTATIONS: list[Mutation] = [
    a_lost_attempt_is_not_held,
    a_late_run_is_taken,
    a_run_s_lease_counts_from_its_arrival,
    unknown_attempts_are_kept,
    what_never_arrived_is_lost,
    unwanted_attempts_run_on,
    an_older_attempt_s_result_is_taken,
    a_result_is_acknowledged_and_not_taken,
    a_result_is_not_kept_without_a_link,
    the_worker_holds_no_lease,
    bytes_that_come_late_renew_the_lease,
    a_cancel_is_not_sent_again,
    a_refusal_is_not_heard,
    an_older_link_goes_on,
    a_new_process_proves_nothing,
    what_is_lost_is_held_for_ever,
]
