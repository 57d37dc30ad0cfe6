"""Formats through the whole house: request, check in a child, document."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import requests
from harness import System, eventually, system

EVIL = {"schema": {"type": "string", "pattern": "^(a+)+$"}}


@pytest.fixture(scope="module")
def runyard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("formats")
    formats = folder / "formats"
    formats.mkdir()
    (formats / "point.json").write_text('{"type": "object", "required": ["x", "y"]}')
    with system(folder / "s", f"--formats={formats}", "--slots=2") as running:
        eventually("its worker is there", lambda: "point" in offered(running))
        yield running


def offered(runyard: System) -> list[str]:
    names: list[str] = requests.get(f"{runyard.url}/formats", timeout=10).json()["formats"]
    return names


def says(text: str) -> str:
    return f"import sys; sys.stdout.write({text!r})"


def comic(count: int) -> str:
    urls = [f"https://img1.8comic.com/1/2/3/{n:03}_ab.jpg" for n in range(1, count + 1)]
    return json.dumps({"page_num": count, "image_urls": urls})


GOOD: list[tuple[Any, str]] = [
    ("json", ' {"a": [1, null]} \n'),
    ("json_lines", '{"a": 1}\n[2]\n'),
    ("text", "naïve\n"),
    ("comic_home", '"https://comicbus.com/html/103.html"'),
    ("comic_episodes", '{"1": "https://comicbus.live/online/a-103.html?ch=1"}'),
    ("comic_images", comic(3)),
    ("point", '{"x": 1, "y": 2}'),
    ({"schema": {"type": "array", "maxItems": 2}}, "[1, 2]"),
]
BAD: list[tuple[Any, str, str]] = [
    ("json", "log\n{}", "line 1"),
    ("json", '{"a": NaN}', "NaN"),
    ("json_lines", "{}\n{\n", "line 2"),
    ("comic_home", '"https://comicbus.com/html/x.html"', "$"),
    ("comic_images", comic(3).replace('"page_num": 3', '"page_num": 4'), "$"),
    ("point", '{"x": 1}', "'y'"),
    ({"schema": {"type": "array", "maxItems": 2}}, "[1, 2, 3]", "$"),
]


@pytest.mark.parametrize(("wanted", "text"), GOOD)
def test_an_output_of_its_format_is_a_success(runyard: System, wanted: Any, text: str) -> None:
    document = runyard.run(says(text), format=wanted)
    assert (document["outcome"], document["stdout"]) == ("success", text)
    assert document["format"]["ok"] is True
    assert document["format"]["problems"] == []


@pytest.mark.parametrize(("wanted", "text", "word"), BAD)
def test_another_output_is_a_format_error_that_says_where(
    runyard: System, wanted: Any, text: str, word: str
) -> None:
    document = runyard.run(says(text), format=wanted)
    assert (document["outcome"], document["exit_code"]) == ("format_error", 0)
    assert document["stdout"] == text, "the output is kept whole"
    told = document["format"]
    assert told["ok"] is False
    assert word in json.dumps(told["problems"])
    assert word in document["detail"] or told["problems"][0]["path"] in document["detail"]
    assert len(document["attempts"]) == 1, "it is not retried"


def test_the_plain_answer_of_a_format_error_is_no_json(runyard: System) -> None:
    answer = runyard.get(says("[1,"), format="json")
    assert answer.status_code == 422
    assert answer.text.startswith("runyard: format_error: Its output is not json: ")
    assert answer.headers["X-Task-Outcome"] == "format_error"


def test_a_failing_program_s_output_is_not_checked(runyard: System) -> None:
    document = runyard.run("1/0", format="json")
    assert (document["outcome"], document["reason"]) == ("runtime_error", "exception")
    assert document["format"] is None


@pytest.mark.parametrize(
    ("wanted", "word"),
    [
        ("no such", "must be one of"),
        (3, "format"),
        ({"schema": 1}, "format.schema"),
        ({"schema": {}, "x": 1}, "schema"),
        ({"schema": {"type": "objekt"}}, "format.schema.type"),
        ({"schema": {"$ref": "file:///etc/passwd"}}, "$ref"),
        ({"schema": {"$ref": "http://127.0.0.1/x"}}, "$ref"),
        ({"schema": {"enum": ["x" * 30_000]}}, "24576 bytes"),
    ],
)
def test_a_format_that_cannot_be_used_is_refused_at_once(
    runyard: System, wanted: Any, word: str
) -> None:
    answer = requests.post(
        f"{runyard.url}/execute", json={"code": "1", "format": wanted}, timeout=10
    )
    assert answer.status_code == 400, answer.text
    assert word in answer.text


def test_a_hostile_schema_ends_by_time_and_others_run_on(runyard: System) -> None:
    document = runyard.run(says(json.dumps("a" * 40 + "b")), format=EVIL)
    assert document["outcome"] == "format_error"
    assert "5 s" in document["format"]["failed"]
    assert runyard.run(says("[]"), format="json")["outcome"] == "success"


def test_a_task_is_cancelled_while_its_output_is_checked(runyard: System) -> None:
    task = runyard.run(says(json.dumps("a" * 40 + "b")), format=EVIL, wait=False)["id"]
    worker = psutil.Process(runyard.processes()[0].pid)
    eventually("it is checked", lambda: any(p.cpu_percent(0.1) > 50 for p in worker.children()))
    answer = requests.delete(f"{runyard.url}/tasks/{task}", timeout=30)
    assert (answer.status_code, answer.json()["outcome"]) == (200, "cancelled")


def test_the_operator_s_formats_are_read_anew_on_sighup(runyard: System) -> None:
    folder = runyard.state.parent / "formats"
    (folder / "other.json").write_text('{"type": "null"}')
    os.kill(runyard.daemon.pid, signal.SIGHUP)
    eventually("the new one is offered", lambda: "other" in offered(runyard))
    assert runyard.run(says("null"), format="other")["outcome"] == "success"
    (folder / "other.json").write_text('{"type": 5}')
    os.kill(runyard.daemon.pid, signal.SIGHUP)
    log = runyard.state / "workers" / "local-1" / "log"
    eventually("it is told", lambda: "the formats stay as they were" in log.read_text())
    assert runyard.run(says("null"), format="other")["outcome"] == "success"
    (folder / "other.json").unlink()
