"""The routes over a fake worker, through treq and in memory."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus

import pytest
from fakes import SUCCESS, FakeRunner, a_worker
from treq import content
from treq.client import HTTPClient
from treq.testing import RequestTraversalAgent, _SynchronousProducer
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from runyard.protocols.tasks import Ended, LimitHit, Outcome, Reason, Usage
from runyard.sched.attempts import Timing
from runyard.sched.backlog import Backlog
from runyard.sched.dispatcher import Dispatcher, Settings
from runyard.sched.http import Api
from runyard.sched.roster import Roster
from runyard.sched.tickets import Tickets
from runyard.sched.web import BoundedSite

URL = "http://127.0.0.1"


class Stage:
    """A scheduler without links or sockets; what is sent to it is parsed by its own site."""

    def __init__(self, *, debug: bool = False, queue: int = 100) -> None:
        self.clock = Clock()
        self.roster = Roster(self.clock)
        self.tickets = Tickets(self.clock.seconds, 1000, 1000, 1 << 30)
        backlog = Backlog(queue, 1 << 30)
        self.dispatcher = Dispatcher(
            self.clock, self.tickets, backlog, self.roster, Settings(timing=Timing())
        )
        pool: Any = None
        api = Api(
            self.clock, pool, self.tickets, backlog, self.roster, self.dispatcher, debug=debug
        )  # fmt: skip
        self.agent = RequestTraversalAgent(api.app.resource())
        self.agent._serverFactory = BoundedSite(api.app.resource(), self.clock)
        self.client = HTTPClient(self.agent, data_to_body_producer=_SynchronousProducer)

    def worker(self, **more: Any) -> FakeRunner:
        worker, runner = a_worker(**more)
        self.roster.up(worker)
        return runner

    def send(self, method: str, path: str, **more: Any) -> Deferred[Any]:
        sent: Deferred[Any] = self.client.request(method, f"{URL}{path}", unbuffered=True, **more)
        self.agent.flush()
        return sent

    def answer(self, sent: Deferred[Any]) -> tuple[int, dict[str, str], bytes]:
        """Give (status, headers, body) of what must have been answered by now."""
        self.agent.flush()
        response: list[Any] = []
        sent.addBoth(response.append)
        assert response, "no answer yet"
        body: list[bytes] = []
        reading: Any = content(response[0])
        reading.addBoth(body.append)
        self.agent.flush()
        raw = response[0].headers.getAllRawHeaders()
        headers = {k.decode().lower(): v[0].decode() for k, v in raw}
        return response[0].code, headers, body[0]

    def ask(self, method: str, path: str, **more: Any) -> tuple[int, dict[str, str], bytes]:
        return self.answer(self.send(method, path, **more))

    def post(self, **document: Any) -> Deferred[Any]:
        return self.send(
            "POST", "/execute", data=json.dumps(document).encode(),
            headers={"Content-Type": "application/json"},
        )  # fmt: skip


@pytest.fixture
def stage() -> Stage:
    return Stage()


def get(code: str, **query: str) -> str:
    more = "".join(f"&{name}={value}" for name, value in query.items())
    return f"/execute?code={quote_plus(code)}{more}"


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
