"""Which process a connection leads to: names, boots, addresses that change."""

from __future__ import annotations

from pair import HOLD_S, Pair

from runyard.protocols.tasks import Outcome


def test_a_worker_with_two_addresses_is_one_worker_and_the_spare_one_disturbs_nothing() -> None:
    first = Pair()
    results = first.run()
    spare = Pair(beside=first, address="unix:other", worker=first)
    assert spare.client.closing
    assert [w.address for w in first.roster] == ["unix:w1"]
    (running,) = first.sandbox.jobs
    running.started()
    running.end(stdout=b"here")
    first.pump.flush()
    assert results[-1].stdout == b"here"


def test_a_process_that_comes_back_by_another_address_is_taken_up_where_it_was() -> None:
    first = Pair()
    results = first.run()
    first.cut()
    moved = Pair(beside=first, address="unix:moved", worker=first)
    assert [w.address for w in first.roster] == ["unix:moved"]
    (running,) = first.sandbox.jobs
    assert running.kills == 0
    running.started()
    running.end(stdout=b"same")
    moved.pump.flush()
    assert results[-1].outcome is Outcome.SUCCESS
    assert results[-1].stdout == b"same"


def test_another_process_of_the_name_elsewhere_waits_until_nothing_of_the_first_can_run() -> None:
    first = Pair()
    lost = first.run()
    first.cut()
    other = Pair(beside=first, boot="boot-2", address="unix:elsewhere")
    assert other.client.closing
    assert not list(first.roster)
    assert len(lost) == 0
    first.clock.advance(HOLD_S)
    assert len(lost) == 1
    Pair(beside=first, boot="boot-2", address="unix:elsewhere")
    assert [w.address for w in first.roster] == ["unix:elsewhere"]


def test_another_process_of_the_name_at_its_address_proves_the_first_dead() -> None:
    first = Pair()
    lost = first.run()
    first.cut()
    Pair(beside=first, boot="boot-2")
    assert len(lost) == 1, "at once"
    assert [w.boot for w in first.roster] == ["boot-2"]


def test_another_name_at_its_address_proves_nothing() -> None:
    first = Pair()
    lost = first.run()
    first.cut()
    Pair(beside=first, name="w2", boot="boot-2")
    assert not lost
    first.clock.advance(HOLD_S)
    assert len(lost) == 1
