"""The first client's contract: it sends code twice encoded by GET and parses what comes back."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_plus

import pytest
import requests
from harness import System, system

COMIC = {"第1話": "漫画「表紙」", "제2화": ["漢字、標點。"]}
PROGRAMS = {
    "no white space": ("print(1+1)", 2),
    "percent": ("print('\"100%\"')", "100%"),
    "escapes": ("print('\"%41%2B%zz+\"')", "%41%2B%zz+"),
    "separators": ("a, b = 6, 3\nprint(a&b);c = 1", 2),
    "separators in a string": ("print('\"a&b;c=d\"')", "a&b;c=d"),
    "hash and question mark": ("print('\"q?r#s\"')  # the end?", "q?r#s"),
    "tabs": ("import json\nif True:\n\tprint(json.dumps('a\tb'))", "a\tb"),
    "emoji": ("print('\"🦊 👩‍👩‍👧 e\u0301\"')", "🦊 👩‍👩‍👧 e\u0301"),
    "CJK": (f"import json\n第一話 = {COMIC}\nprint(json.dumps(第一話, ensure_ascii=False))", COMIC),
}

WAYS = {
    "twice encoded": lambda code: {"code": quote_plus(code)},
    "once encoded": lambda code: {"code": code},
    "said to be twice encoded": lambda code: {"code": quote_plus(code), "encoding": "twice"},
    "said to be once encoded": lambda code: {"code": code, "encoding": "once"},
}

FAILING = {
    "an exception": ("print(1)\nraise ValueError('no')", {}, "ValueError: no"),
    "an exception after JSON": ("print('{}')\nraise ValueError('no')", {}, "ValueError: no"),
    "an exit code": ("print(1)\nraise SystemExit(3)", {}, "3"),
    "JSON as its last word": ("import sys\nsys.exit('{\"a\": 1}')", {}, '{"a": 1}'),
    "a syntax error": ("print(1)\nif x = 2:\n  pass", {}, "SyntaxError"),
    "a signal": ("import os\nprint(1)\nos.kill(os.getpid(), 9)", {}, "SIGKILL"),
    "a time limit": (
        "import time\nprint('{}', flush=True)\ntime.sleep(60)", {"timeout": "0.4"}, "/timeout: "
    ),
}  # fmt: skip

REFUSED = {
    "an unknown option": ({"code": "print(1)", "colour": "red"}, "colour"),
    "a limit of nothing": ({"code": "print(1)", "timeout": "0"}, "timeout"),
    "an unknown language": ({"code": "print(1)", "language": "cobol"}, "cobol"),
    "a wrong encoding": ({"code": "print(1)", "encoding": "thrice"}, "thrice"),
    "a wrong claim": ({"code": "print(1)", "encoding": "twice"}, "encoded twice"),
    "no code": ({"timeout": "1"}, "code"),
    "empty code": ({"code": ""}, "code"),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with system(tmp_path_factory.mktemp("seed"), "--slots=1") as started:
        yield started


@pytest.fixture
def url(running: System) -> str:
    return f"{running.url}/execute"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Make a folder that a task may write to, whatever user it runs as."""
    path = Path(tempfile.mkdtemp(prefix="runyard-test-"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_code_arrives_unharmed_and_its_output_is_parsed(url: str, program: str, way: str) -> None:
    code, value = PROGRAMS[program]
    answer = requests.get(url, WAYS[way](code), timeout=30)
    assert answer.status_code == 200, answer.text
    assert json.loads(answer.content) == value


def test_code_that_looks_encoded_runs_as_it_is_when_that_is_said(url: str) -> None:
    assert requests.get(url, {"code": "1+1", "encoding": "once"}, timeout=30).status_code == 200
    assert requests.get(url, {"code": "1+1"}, timeout=30).status_code == 422


def test_stdout_comes_back_byte_by_byte(url: str) -> None:
    code = "import sys\nsys.stdout.buffer.write(bytes(range(256)) + b'\\r\\n\\n')"
    answer = requests.get(url, {"code": quote_plus(code)}, timeout=30)
    assert answer.content == bytes(range(256)) + b"\r\n\n"


@pytest.mark.parametrize("program", FAILING)
def test_a_failed_script_s_answer_is_never_taken_for_its_output(url: str, program: str) -> None:
    code, options, told = FAILING[program]
    answer = requests.get(url, {"code": quote_plus(code), **options}, timeout=30)
    assert answer.status_code == 422
    assert answer.headers["X-Task-Outcome"] == "runtime_error"
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.content)
    assert answer.text.startswith("runyard: runtime_error/")
    assert told in answer.text


@pytest.mark.parametrize("request_", REFUSED)
def test_a_refusal_is_never_taken_for_output(url: str, request_: str) -> None:
    query, told = REFUSED[request_]
    answer = requests.get(url, query, timeout=30)
    assert answer.status_code == 400
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.content)
    assert answer.text.startswith("runyard: 400 ")
    assert told in answer.text
    assert "X-Task-Id" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"


def test_headers_tell_which_task_it_was_and_how_it_ended(running: System, url: str) -> None:
    for code, outcome in (("print(1)", "success"), ("print(1)\n1/0", "runtime_error")):
        answer = requests.get(url, {"code": code}, timeout=30)
        assert answer.headers["X-Task-State"] == "finish"
        assert answer.headers["X-Task-Outcome"] == outcome
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        task = answer.headers["X-Task-Id"]
        document = requests.get(f"{running.url}/tasks/{task}", timeout=30).json()
        assert (document["id"], document["outcome"]) == (task, outcome)
        assert document["stdout"] == "1\n"


@pytest.mark.parametrize(("code", "outcome"), [("print(1)", "success"), ("1/0", "runtime_error")])
def test_who_accepts_json_gets_the_task_document(url: str, code: str, outcome: str) -> None:
    headers = {"Accept": "text/html, application/json;q=0.9"}
    answer = requests.get(url, {"code": quote_plus(code)}, headers=headers, timeout=30)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    document = answer.json()
    assert document["id"] == answer.headers["X-Task-Id"]
    assert (document["state"], document["outcome"]) == ("finish", outcome)
    assert [attempt["number"] for attempt in document["attempts"]] == [1]


def test_who_accepts_json_gets_refusals_as_problem_documents(url: str) -> None:
    headers = {"Accept": "application/json"}
    answer = requests.get(url, {"code": "1", "colour": "red"}, headers=headers, timeout=30)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == 400
    assert problem["errors"][0]["field"] == "colour"


def test_head_never_runs_code(url: str, open_folder: Path) -> None:
    marker = open_folder / "ran"
    code = f"open({str(marker)!r}, 'w').close()"
    answer = requests.head(url, params={"code": code}, timeout=30)
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "POST"}
    assert "X-Task-Id" not in answer.headers
    # The only slot takes tasks in their order: what HEAD had queued would have run before this.
    assert requests.get(url, {"code": "print(1)"}, timeout=30).text == "1\n"
    assert not marker.exists()
    assert requests.get(url, {"code": code}, timeout=30).status_code == 200
    assert marker.exists(), "the same request by GET must show that the marker works"
