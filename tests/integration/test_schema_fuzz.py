"""The API against its own document: what is allowed is taken, what is not is refused."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from harness import System, system
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from openapi import document
from schema_run import Tally, run

from runyard.sched.models import ExecuteRequest

Fields = dict[str, str]

MAIN_S, RAW_S = 85, 35
"""Seconds for all routes, and for the code sent as it is (a document of its own)."""


@pytest.fixture(scope="module")
def runyard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with system(tmp_path_factory.mktemp("schema"), "--head-timeout=5") as started:
        yield started


@pytest.fixture(scope="module")
def task_ids(runyard: System) -> list[str]:
    return [str(runyard.run(code)["id"]) for code in ("print(1)", "1/0", "import os; os.abort()")]


def seed() -> int:
    return int(os.environ.get("RUNYARD_FUZZ_SEED") or random.SystemRandom().getrandbits(32))


def judge(tally: Tally, used: int, runyard: System) -> None:
    seen = sorted(tally.statuses.items())
    sys.stdout.write(f"seed {used}: {tally.requests} requests\n{seen}\n")
    told = "\n\n".join(f"{what}\n{how}" for what, how in tally.failures.items())
    assert not tally.failures, f"RUNYARD_FUZZ_SEED={used}\n{told}"
    logs = runyard.daemon.read() + (runyard.state / "workers" / "local-1" / "log").read_text()
    for word in ("Traceback", "Unhandled", "#critical"):
        assert word not in logs, logs[-5000:]


def accepted(tally: Tally, operation: str) -> int:
    return sum(tally.statuses[f"{operation} {status}"] for status in (200, 202))


def refused(tally: Tally, operation: str) -> int:
    return tally.statuses[f"{operation} 400"]


@pytest.mark.parametrize("raw", [False, True], ids=["all-routes", "raw-code"])
def test_a_few_requests_of_every_kind_are_answered_as_documented(
    runyard: System, task_ids: list[str], raw: bool
) -> None:
    tally = run(document(task_ids, raw=raw), runyard.url, 1, examples=12, phases=("fuzzing",))
    judge(tally, 1, runyard)
    for operation in ("POST /execute", "GET /execute"):
        assert accepted(tally, operation), tally.statuses
    assert refused(tally, "POST /execute") + refused(tally, "GET /execute"), tally.statuses


CODE = {"code": "print(1)"}
CARRIERS: dict[str, Callable[[str, Fields], requests.Response]] = {
    "query": lambda url, fields: requests.get(url, params=CODE | fields, timeout=60),
    "json": lambda url, fields: requests.post(url, json=CODE | fields, timeout=60),
    "form": lambda url, fields: requests.post(url, data=CODE | fields, timeout=60),
    "multipart": lambda url, fields: requests.post(
        url, files={name: (None, value) for name, value in (CODE | fields).items()}, timeout=60
    ),
    "raw": lambda url, fields: requests.post(
        url, data=b"print(1)", params=fields, headers={"Content-Type": "text/plain"}, timeout=60
    ),
}
KNOWN = frozenset(ExecuteRequest.model_fields) | {"encoding"}
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=20)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_an_unknown_field_is_never_passed_over(runyard: System, carrier: str) -> None:
    @given(name=NAMES | st.sampled_from(["Code", "code ", "timeouts", "wall_s", "__class__"]))
    @settings(max_examples=10, deadline=None, database=None, derandomize=True)
    def check(name: str) -> None:
        assume(name not in KNOWN)
        answer = CARRIERS[carrier](f"{runyard.url}/execute", {name: "1"})
        assert answer.status_code == 400, answer.text

    check()


def test_a_refusal_of_a_long_request_line_is_no_json_either(runyard: System) -> None:
    answer = runyard.get("#" * 300_000)
    assert answer.status_code == 414
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith("runyard: 414 ")


@pytest.mark.slow
@pytest.mark.parametrize(("raw", "seconds"), [(False, MAIN_S), (True, RAW_S)])
def test_what_the_document_allows_is_taken_and_nothing_else(
    runyard: System, task_ids: list[str], raw: bool, seconds: int
) -> None:
    used = seed()
    made: dict[str, Any] = document(task_ids, raw=raw)
    tally = run(made, runyard.url, used, seconds=seconds)
    judge(tally, used, runyard)
    assert tally.requests > 5 * seconds, "too few to mean anything"
