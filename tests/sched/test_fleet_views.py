"""What the fleet's and the debug server's routes tell."""

from __future__ import annotations

import json
from typing import Any

from controller import only
from stage import Stage

from runyard.protocols.tasks import Ended, Outcome, Reason

BROKEN = Ended(Outcome.INTERNAL_FAIL, Reason.SANDBOX, "no disk")


def view(stage: Stage, path: str) -> Any:
    status, _, body = stage.ask("GET", path)
    assert status == 200, body
    return json.loads(body)


def test_a_quarantined_worker_is_named_with_its_reason_and_until_when() -> None:
    stage = Stage()
    stage.clock.advance(1000)
    hole = stage.worker(name="hole", slots=2)
    for _ in range(2):
        stage.post(code="1", wait=False, attempts=10)
    for _ in range(3):
        for attempt in list(hole.runs):
            hole.end(attempt, BROKEN)
        stage.clock.advance(1.2)
    (worker,) = view(stage, "/workers")["workers"]
    assert (worker["name"], worker["state"], worker["reason"]) == ("hole", "quarantined", "sandbox")
    assert worker["until"] > "1970-01-01T00:16:4"
    status, _, body = stage.ask("GET", "/readyz")
    assert status == 503, body
    stage.clock.advance(10)
    (worker,) = view(stage, "/workers")["workers"]
    assert (worker["state"], worker["until"], worker["in_use"]) == ("trial", None, 1)


def test_addresses_without_a_link_are_named_with_the_reason() -> None:
    stage = Stage()
    stage.roster.unreachable["tcp:10.0.0.9:7070"] = "connection refused"
    assert view(stage, "/workers")["unlinked"] == [
        {"address": "tcp:10.0.0.9:7070", "reason": "connection refused"}
    ]


def test_the_debug_server_explains_each_choice() -> None:
    stage = Stage(debug=True)
    one, two = stage.worker(name="one", slots=2), stage.worker(name="two", slots=2)
    stage.post(code="1", wait=False)
    one.end(only(one), BROKEN)
    stage.clock.advance(1)
    assert len(two.runs) == 1
    latest, first = view(stage, "/debug/choices")["choices"]
    assert (first["worker"], latest["worker"], latest["alone"]) == ("one", "two", False)
    ratings = {each["worker"]: each for each in latest["ratings"]}
    assert ratings["one"]["avoided"] < 0 == ratings["two"]["avoided"]
    assert ratings["one"]["failures"] < 0
    assert ratings["two"]["score"] > ratings["one"]["score"]
    scores = {each["name"]: each for each in view(stage, "/debug/roster")["workers"]}
    assert scores["two"]["rating"]["room"] == 0.5
    assert scores["one"]["failures_in_row"] == 1


def test_the_debug_server_shows_the_queue_in_its_order() -> None:
    stage = Stage(debug=True)
    for priority in (0, 5):
        stage.post(code="1", wait=False, priority=priority)
    stage.clock.advance(30)
    queue = view(stage, "/debug/queue")
    assert queue["pending"] == 2
    assert [each["priority"] for each in queue["first"]] == [5, 0]
    assert [each["urgency"] for each in queue["first"]] == [15.0, 10.0]


def test_production_has_no_debug_views() -> None:
    stage = Stage()
    for name in ("roster", "choices", "queue", "counts"):
        assert stage.ask("GET", f"/debug/{name}")[0] == 404


def test_a_task_is_tried_again_after_its_own_failure_where_it_asked_for_that() -> None:
    stage = Stage()
    runner = stage.worker()
    sent = stage.post(code="1", retry={"max": 2, "on": ["exit_code"], "backoff": 2}, attempts=1)
    failed = Ended(Outcome.RUNTIME_ERROR, Reason.EXIT_CODE, exit_code=1)
    for delay in (2.6, 5.1):
        runner.end(only(runner), failed)
        assert not runner.runs
        stage.clock.advance(delay)
    runner.end(only(runner))
    document = json.loads(stage.answer(sent)[2])
    assert document["outcome"] == "success"
    assert [each["failure"] for each in document["attempts"]] == ["runtime_error"] * 2 + [None]
    assert [each["reason"] for each in document["attempts"]] == ["exit_code"] * 2 + [None]


def test_a_retry_that_cannot_be_meant_is_refused_with_what_is_allowed() -> None:
    stage = Stage()
    for retry, word in (
        ({"max": 0}, "retry.max"),
        ({"max": 11}, "retry.max"),
        ({"on": []}, "retry.on"),
        ({"on": ["no_worker"]}, "exit_code"),
        ({"backoff": 0}, "retry.backoff"),
        ({"backoff": 1e9}, "retry.backoff"),
        ({"often": 1}, "retry.often"),
        (3, "retry"),
    ):
        status, _, body = stage.answer(stage.post(code="1", retry=retry))
        assert (status, word in body.decode()) == (400, True), (retry, body)
