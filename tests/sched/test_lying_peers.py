"""Proven peers that lie about attempts, over the real classes in memory."""

from __future__ import annotations

from typing import Any

from fakes import a_task
from pair import Pair

from runyard.protocols.messages import Inventory, Message, Result, Run, Started


def says(pair: Pair, *messages: Message) -> None:
    """Have the worker's side say something that the worker itself would not."""
    for message in messages:
        pair.server.send(message)
    pair.pump.flush()


def run_of(attempt: str, **changes: Any) -> Run:
    fields: dict[str, Any] = {
        "attempt": attempt,
        "language": "python",
        "limits": {},
        "lease": 10.0,
        "code": b"0",
    }
    return Run(**{**fields, **changes})


def test_an_inventory_that_was_not_asked_for_loses_nothing() -> None:
    pair = Pair()
    results = pair.run()
    says(pair, Inventory(running=[], finished=[]))
    assert results == [], "its attempt still runs there, so it must not start elsewhere"


def test_a_run_that_is_malformed_leaves_nothing_in_the_session() -> None:
    pair = Pair()
    pair.client.send(run_of("t.9", limits={"wall_s": -1}))
    pair.pump.flush()
    assert pair.factory.settled


def test_a_run_that_comes_twice_changes_nothing_of_the_first() -> None:
    pair = Pair()
    pair.run()
    session = next(iter(pair.factory._sessions.values()))
    first = session._running["t.1"]
    pair.client.send(run_of("t.1", lease=3000.0))
    pair.pump.flush()
    assert session._running["t.1"] is first


def test_a_limit_of_four_thousand_digits_is_a_protocol_error(logged_failures: list[Any]) -> None:
    pair = Pair()
    pair.run()
    fields: dict[str, Any] = {"outcome": "runtime_error", "isolation": "none", "detail": ""}
    says(pair, Result(attempt="t.1", limit=["wall_s", 10**4000, 1], **fields))
    assert "fault of this side" not in pair.client._why
    assert logged_failures == []


def test_an_attempt_starts_once() -> None:
    pair = Pair()
    results = pair.run()
    says(pair, Started(attempt="t.1"), Started(attempt="t.1"))
    assert results == ["started"], "each one arms the attempt's time limit anew"


def test_what_a_pair_does_by_itself() -> None:
    pair = Pair()
    results = pair.run(a_task())
    pair.sandbox.jobs[0].started()
    pair.pump.flush()
    assert results == ["started"]
