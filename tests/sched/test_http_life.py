"""Waiting, hanging up, cancelling: the routes over time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from stage import Stage, get
from twisted.internet.defer import Deferred

from runyard.protocols.tasks import Ended, Outcome, Reason


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_post_waits_and_answers_with_the_document(stage: Stage) -> None:
    runner = stage.worker()
    sent = stage.post(code="print(1)", stdin="x")
    (attempt,) = runner.runs
    runner.end(attempt)
    status, _, body = stage.answer(sent)
    assert (status, json.loads(body)["stdout"]) == (200, "42\n")


def test_a_post_that_does_not_wait_gets_its_address_and_runs_on(stage: Stage) -> None:
    status, headers, body = stage.answer(stage.post(code="print(1)", wait=False))
    assert (status, json.loads(body)["state"]) == (202, "pending")
    assert json.loads(body)["queue"] == {"position": 1}
    runner = stage.worker()
    waiting = stage.send("GET", headers["location"] + "?wait=10")
    (attempt,) = runner.runs
    runner.end(attempt)
    status, _, body = stage.answer(waiting)
    assert (status, json.loads(body)["outcome"]) == (200, "success")
    status, headers, body = stage.ask("GET", f"{headers['location']}/stdout")
    assert (status, body) == (200, b"42\n")


def test_a_poll_ends_at_its_time_with_the_task_as_it_is(stage: Stage) -> None:
    _, headers, _ = stage.answer(stage.post(code="print(1)", wait=False))
    waiting = stage.send("GET", headers["location"] + "?wait=10")
    stage.clock.advance(10)
    status, _, body = stage.answer(waiting)
    assert (status, json.loads(body)["state"]) == (200, "pending")
    for bad in ("?wait=-1", "?wait=nan", "?wait=1e9", "?wait=x", "?wiat=1"):
        assert stage.ask("GET", headers["location"] + bad)[0] == 400


def hang_up(stage: Stage, sent: Deferred[Any], pumps: set[Any] | None = None) -> None:
    sent.addErrback(lambda failure: None)
    for pump in pumps or set(stage.agent._pumps):
        pump.client.transport.abortConnection()
    stage.agent.flush()


def test_hanging_up_cancels_a_task_that_only_its_caller_wanted(stage: Stage) -> None:
    runner = stage.worker()
    sent = stage.send("GET", get("x"))
    (attempt,) = runner.runs
    hang_up(stage, sent)
    assert runner.cancels == [(attempt, Reason.HUNG_UP)]


def test_hanging_up_does_not_cancel_what_is_to_continue(stage: Stage) -> None:
    runner = stage.worker()
    sent = stage.post(code="x", on_disconnect="continue")
    hang_up(stage, sent)
    assert runner.cancels == []
    (attempt,) = runner.runs
    runner.end(attempt)


def test_a_reader_of_a_task_owns_nothing(stage: Stage) -> None:
    runner = stage.worker()
    owner = stage.send("GET", get("x"))
    task = next(iter(runner.runs)).partition(".")[0]
    before = set(stage.agent._pumps)
    reader = stage.send("GET", f"/tasks/{task}?wait=100")
    hang_up(stage, reader, set(stage.agent._pumps) - before)
    assert runner.cancels == []
    runner.end(next(iter(runner.runs)))
    assert stage.answer(owner)[0] == 200


def test_a_call_that_waits_too_long_gets_504_and_the_task_goes_on(stage: Stage) -> None:
    runner = stage.worker()
    sent = stage.send("GET", get("x", timeout="300"))
    runner.starts[next(iter(runner.runs))]()
    stage.clock.advance(300)
    status, headers, _ = stage.answer(sent)
    assert status == 504
    runner.end(next(iter(runner.runs)))
    status, _, body = stage.ask("GET", headers["location"])
    assert json.loads(body)["outcome"] == "success"


def test_delete_answers_when_the_task_has_really_ended(stage: Stage) -> None:
    runner = stage.worker()
    sent = stage.send("GET", get("x"))
    (attempt,) = runner.runs
    task = attempt.partition(".")[0]
    deleting = stage.send("DELETE", f"/tasks/{task}")
    assert runner.cancels == [(attempt, Reason.ASKED)]
    runner.end(attempt, Ended(Outcome.CANCELLED, Reason.ASKED))
    status, _, body = stage.answer(deleting)
    assert (status, json.loads(body)["outcome"]) == (200, "cancelled")
    assert stage.answer(sent)[0] == 422
    status, _, body = stage.ask("DELETE", f"/tasks/{task}")
    assert (status, json.loads(body)["reason"]) == (200, "asked"), "again: the same final state"


def test_delete_is_202_where_the_end_is_not_confirmed(stage: Stage) -> None:
    runner = stage.worker()
    stage.post(code="x", wait=False)
    task = next(iter(runner.runs)).partition(".")[0]
    deleting = stage.send("DELETE", f"/tasks/{task}")
    stage.clock.advance(5)
    status, headers, body = stage.answer(deleting)
    assert (status, json.loads(body)["outcome"]) == (202, "cancelled")
    assert headers["location"] == f"/tasks/{task}"
    runner.end(next(iter(runner.runs)))


@pytest.mark.parametrize(
    "path", ["/nothing", "/tasks/1", "/tasks/01a21055-b953-7d0d-8b65-db49c92d1bea", "/tasks//x"]
)
def test_what_is_not_there_is_a_problem_document(stage: Stage, path: str) -> None:
    status, headers, body = stage.ask("GET", path)
    assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert json.loads(body)["status"] == 404


def test_a_full_queue_and_a_stopping_scheduler_say_when_to_come_again() -> None:
    stage = Stage(queue=1)
    stage.post(code="1", wait=False)
    status, headers, _ = stage.answer(stage.post(code="2"))
    assert (status, headers["retry-after"]) == (503, "5")
    stage.dispatcher.draining = True
    assert stage.answer(stage.post(code="2"))[0] == 503
    stage.clock.advance(1000)


def test_an_idempotency_key_is_not_ignored(stage: Stage) -> None:
    status, _, body = stage.ask("GET", get("x"), headers={"Idempotency-Key": "k"})
    assert (status, b"not supported yet" in body) == (400, True)


def test_health_and_readiness_and_the_fleet(stage: Stage) -> None:
    assert stage.ask("GET", "/healthz")[0] == 200
    status, _, body = stage.ask("GET", "/readyz")
    assert (status, json.loads(body)["reasons"]) == (503, ["no worker is linked that takes work"])
    stage.worker(name="w9", slots=3)
    assert stage.ask("GET", "/readyz")[0] == 200
    (worker,) = json.loads(stage.ask("GET", "/workers")[2])["workers"]
    assert (worker["name"], worker["slots"], worker["in_use"], worker["isolation"]) == (
        "w9", 3, 0, "none",
    )  # fmt: skip
    stage.dispatcher.draining = True
    assert stage.ask("GET", "/readyz")[0] == 503


def test_a_fault_of_ours_tells_nothing_of_itself(
    stage: Stage, logged_failures: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("a secret")

    monkeypatch.setattr(stage.dispatcher, "submit", broken)
    status, _, body = stage.answer(stage.post(code="1"))
    assert (status, b"secret" in body) == (500, False)
    assert len(logged_failures) == 1
