"""What was sent to a worker and never arrived, because the link ended on the way."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import a_task
from pair import HOLD_S, Pair
from twisted.python.failure import Failure

from runyard.protocols.errors import LinkLost, Refused


@pytest.fixture
def pair() -> Any:
    made = Pair()
    yield made
    made.cut()
    made.clock.advance(100)
    for job in made.sandbox.jobs:
        if not job.done.called:
            job.end(9)


def lost_on_the_way(pair: Pair) -> list[Any]:
    """Send a Run of which the network delivers nothing before it breaks."""
    results: list[Any] = []
    run = pair.worker.link.run("t.1", a_task(), lambda: results.append("started"))
    run.addBoth(results.append)
    pair.client.transport.stream.clear()
    return results


def test_a_run_that_never_arrived_counts_as_refused(pair: Pair) -> None:
    results = lost_on_the_way(pair)
    pair.cut()
    assert results == [], "it may have arrived: nothing is known yet"
    pair.connect()
    assert isinstance(results[-1], Failure)
    assert results[-1].check(Refused)
    assert pair.sandbox.jobs == []


def test_one_of_which_nothing_is_known_after_the_hold_may_have_run(pair: Pair) -> None:
    results = lost_on_the_way(pair)
    pair.cut()
    pair.clock.advance(HOLD_S)
    assert results[-1].check(LinkLost)


def test_one_that_has_started_and_is_not_known_any_more_is_lost(pair: Pair) -> None:
    results = pair.run()
    pair.sandbox.jobs[0].started()
    pair.pump.flush()
    pair.cut()
    pair.sandbox.jobs[0].end()
    (session,) = pair.factory._sessions.values()
    session.acknowledge("t.1")
    pair.connect()
    assert results[-1].check(LinkLost)
