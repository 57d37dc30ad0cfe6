"""The routes over a fake worker, through treq and in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fakes import SUCCESS
from stage import Stage, get

from runyard.protocols.tasks import Ended, LimitHit, Outcome, Reason, Usage


@pytest.fixture
def stage() -> Stage:
    return Stage()


def run(stage: Stage, path: str, ended: Ended, **more: Any) -> tuple[int, dict[str, str], bytes]:
    runner = stage.worker()
    sent = stage.send("GET", path, **more)
    (attempt,) = runner.runs
    runner.end(attempt, ended)
    return stage.answer(sent)


def test_the_plain_call_answers_with_the_bytes_that_were_printed(stage: Stage) -> None:
    printed = "漫畫\n".encode() + b"\xff\x00"
    status, headers, body = run(stage, get("x"), Ended(Outcome.SUCCESS, stdout=printed))
    assert (status, body) == (200, printed)
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert (headers["x-task-state"], headers["x-task-outcome"]) == ("finish", "success")
    assert stage.tickets.get(headers["x-task-id"]) is not None


FAILURES = [
    (Ended(Outcome.RUNTIME_ERROR, Reason.EXIT_CODE, "It ended.", stderr=b"Trace\nback"), 422),
    (Ended(Outcome.RUNTIME_ERROR, Reason.TIMEOUT, stdout=b"42", stderr=b"{}"), 422),
    (Ended(Outcome.RUNTIME_ERROR, Reason.SIGNAL, stderr=b"1" * 100_000), 422),
]


@pytest.mark.parametrize(("ended", "expected"), FAILURES, ids=range(len(FAILURES)))
def test_a_failure_s_plain_answer_never_parses_as_json(
    stage: Stage, ended: Ended, expected: int
) -> None:
    status, headers, body = run(stage, get("x"), ended)
    assert status == expected
    assert body.startswith(f"runyard: {ended.outcome}".encode())
    assert ended.stderr[-1000:] in body
    assert len(body) < 10_000
    assert headers["x-task-outcome"] == ended.outcome
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(body)


def test_our_own_failures_are_502_in_both_forms() -> None:
    ended = Ended(Outcome.INTERNAL_FAIL, Reason.SANDBOX, "no disk")
    for accept in ("*/*", "application/json"):
        stage = Stage()
        runner = stage.worker()
        sent = stage.send("GET", get("x"), headers={"Accept": accept})
        for _ in range(3):
            (attempt,) = runner.runs
            runner.end(attempt, ended)
            stage.clock.advance(5)
        assert stage.answer(sent)[0] == 502


def test_the_document_says_everything(stage: Stage) -> None:
    ended = Ended(
        Outcome.RUNTIME_ERROR, Reason.TIMEOUT, "too long", signal="SIGKILL", stdout=b"a\x00\xff",
        stderr=b"e", stdout_truncated=True, limit=LimitHit("wall_s", 1.0, 1.2),
        usage=Usage(1.2, 0.1, 5000), isolation="none",
    )  # fmt: skip
    as_json = {"Accept": "application/json"}
    status, headers, body = run(stage, get("x", name="n"), ended, headers=as_json)
    document = json.loads(body)
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert document["stdout"] == "a\x00\ufffd"
    assert document["stdout_base64"] == "YQD/"
    assert "stderr_base64" not in document
    assert document["limit"] == {"name": "wall_s", "allowed": 1.0, "measured": 1.2}
    assert document["usage"] == {"wall_s": 1.2, "cpu_s": 0.1, "max_rss_bytes": 5000}
    assert document["created_at"] == "1970-01-01T00:00:00.000Z"
    assert [a["number"] for a in document["attempts"]] == [1]
    expected = {
        "state": "finish", "outcome": "runtime_error", "reason": "timeout", "signal": "SIGKILL",
        "exit_code": None, "stdout_truncated": True, "isolation": "none", "name": "n",
        "language": "python", "queue": None,
    }  # fmt: skip
    assert {name: document[name] for name in expected} == expected
    assert "timings" not in document, "only the debug server tells"


def test_the_debug_server_answers_the_same_with_timings() -> None:
    stage = Stage(debug=True)
    _, headers, body = run(stage, get("x"), SUCCESS)
    assert body == b"42\n"
    assert "total;dur=" in headers["server-timing"]
    _, _, body = stage.ask("GET", f"/tasks/{headers['x-task-id']}")
    assert set(json.loads(body)["timings"]) >= {"queued_ms", "dispatched_ms", "total_ms"}


def test_a_refused_get_is_plain_text_unless_json_is_asked_for(stage: Stage) -> None:
    status, headers, body = stage.ask("GET", "/execute")
    assert (status, headers["content-type"]) == (400, "text/plain; charset=utf-8")
    assert body.startswith(b"runyard: 400")
    status, headers, body = stage.ask("GET", "/execute", headers={"Accept": "application/json"})
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert json.loads(body)["errors"][0]["field"] == "code"


def test_head_never_runs_code(stage: Stage) -> None:
    runner = stage.worker()
    status, headers, _ = stage.ask("HEAD", get("print(1)"))
    assert status == 405
    assert headers["allow"] == "GET, POST"
    assert not runner.runs
    assert len(stage.tickets) == 0


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_told_which_are_allowed(stage: Stage, method: str) -> None:
    status, headers, _ = stage.ask(method, "/execute")
    assert (status, headers["allow"]) == (405, "GET, POST")
