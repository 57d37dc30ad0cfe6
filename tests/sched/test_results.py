"""A finished task's files by HTTP: listed in its document, given byte for byte, by any name."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from fakes import a_task
from stage import Stage

from runyard.protocols.files import File, Files, pack
from runyard.protocols.messages import Result
from runyard.protocols.tasks import Ended, Outcome
from runyard.sched.needs import need_of
from runyard.sched.tickets import Tickets
from runyard.sched.translate import ended_of, run_of

NAMES = [
    "a.txt", "d/e/f", "ü b.bin", "100%", "%2e", "..%2f", "a\\b", "line\nend", "?q=1#x", ";", "a+b",
    '"x"', "漫畫/ß", "\x01",
]  # fmt: skip
LEFT = Files(tuple(File(n, n.encode() + b"\0\xff") for n in NAMES), ("big.iso", "d/..."))


def finished(files: Files = LEFT) -> tuple[Stage, dict[str, Any]]:
    stage = Stage()
    runner = stage.worker()
    sent = stage.post(code="1")
    (attempt,) = runner.runs
    runner.end(attempt, Ended(Outcome.SUCCESS, files=files))
    return stage, json.loads(stage.answer(sent)[2])


def test_the_document_lists_them_and_names_what_was_left_out() -> None:
    _, document = finished()
    assert document["files"] == [{"name": f.name, "size": f.size} for f in LEFT.files]
    assert document["files_left_out"] == ["big.iso", "d/..."]
    assert finished(Files())[1]["files"] == []


@pytest.mark.parametrize("name", NAMES)
def test_each_is_given_under_its_name_percent_encoded(name: str) -> None:
    stage, document = finished()
    path = f"/tasks/{document['id']}/files/{quote(name)}"
    status, headers, body = stage.ask("GET", path)
    assert (status, body) == (200, name.encode() + b"\0\xff")
    assert headers["content-type"] == "application/octet-stream"
    assert headers["x-content-type-options"] == "nosniff"
    last = quote(name.rpartition("/")[2], safe="")
    assert headers["content-disposition"] == f"attachment; filename*=UTF-8''{last}"


@pytest.mark.parametrize(
    "rest",
    ["", "/", "/b.txt", "/a.txt/", "/../stdout", "/%2e%2e/stdout", "/A.TXT", "/%ff", "/%zz",
     "//a.txt", "/d", "/a.txt%00", "/d%2Fe", "/%", "/d//e/f"],
)  # fmt: skip
def test_any_other_name_is_404_with_a_problem_document(rest: str) -> None:
    stage, document = finished()
    status, headers, _ = stage.ask("GET", f"/tasks/{document['id']}/files{rest}")
    assert (status, headers["content-type"]) == (404, "application/problem+json")


def test_an_escape_leads_to_no_other_route_and_other_methods_are_405() -> None:
    stage, document = finished()
    for path in ("/%74asks/x", f"/tasks/{document['id']}/%73tdout", "/tasks/x/files/%41"):
        assert stage.ask("GET", path)[0] == 404
    assert stage.ask("POST", f"/tasks/{document['id']}/files/%41")[0] == 405


def test_before_the_end_there_are_none() -> None:
    stage = Stage()
    stage.worker()
    status, headers, _ = stage.answer(stage.post(code="1", wait=False))
    assert status == 202
    assert stage.ask("GET", f"{headers['location']}/files/a.txt")[0] == 404


def test_a_task_with_files_goes_only_to_a_worker_that_takes_them() -> None:
    stage = Stage()
    older = stage.worker(name="older")
    sent = stage.post(code="1", files=[{"name": "a", "content": "x"}])
    assert older.runs == {}
    newer = stage.worker(name="newer", files=True)
    (attempt,) = newer.runs
    newer.end(attempt, Ended(Outcome.SUCCESS))
    assert stage.answer(sent)[0] == 200
    assert need_of(a_task()).files is False


def test_what_a_finished_task_holds_counts_its_files() -> None:
    tickets = Tickets(lambda: 0.0, 100, 10, 5_000_000)
    for _ in range(3):
        ticket = tickets.open(a_task())
        big = Files((File("a", bytes(2_000_000)),))
        tickets.finish(ticket, Ended(Outcome.SUCCESS, files=big))
    assert len(tickets) == 2


def test_they_travel_in_run_and_result() -> None:
    task = a_task(files=(File("a", b"\0"),), fresh=True)
    run = run_of("t.1", task, 10.0, 0)
    assert (run.files, run.fresh, run.collect) == (pack(task.files), True, True)
    result = Result(
        attempt="t.1", outcome="success", isolation="none", detail="",
        files=pack(LEFT.files, LEFT.left_out),
    )  # fmt: skip
    assert ended_of(result).files == LEFT
