"""Programs that broke other systems get the right answers here: data-driven over tests/cases."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from case_sending import Answer, send
from harness import Daemon, System, eventually, processes_with, system, words
from jailed import JAIL_LEVELS

from runyard.daemon.keys import CONTROLLER_PUBLIC, FLEET_SECRET, make_keys
from runyard.protocols.limits import Limits
from runyard.worker.sandbox.levels import FULL, NAMESPACES, NONE

FOLDER = Path(__file__).parents[1] / "cases"
CAP = Limits().output_bytes
SUBMIT = {
    "timeout", "methods", "repeat", "same_worker", "beside", "setup", "format", "bytes_exact",
}  # fmt: skip
BESIDE_SUCCEEDS = (
    "a task running beside it on the same worker still ends in success (retried at most once)"
)
SAME = 5
SECRETS = {"CE_TEST_TOKEN": "x", "DB_PASSWORD": "y"}


@frozen
class Case:
    """A program, how it is sent, and what must come of it."""

    name: str
    method: str
    code: bytes
    submit: dict[str, Any]
    expect: dict[str, Any]


def read_cases() -> list[Case]:
    cases = []
    for path in sorted(FOLDER.glob("*.json")):
        case = json.loads(path.read_text())
        submit = case.get("submit", {})
        code = path.with_suffix(".py").read_bytes()
        methods = submit.get("methods", ["POST raw"])
        cases += [Case(path.stem, method, code, submit, case["expect"]) for method in methods]
    return cases


Check = Callable[[Answer, Any], bool]


def equal(name: str) -> Check:
    return lambda answer, want: bool(answer.document.get(name) == want)


def one_of(name: str) -> Check:
    return lambda answer, want: answer.document.get(name) in want


def contains(name: str, *, wanted: bool) -> Check:
    return lambda answer, items: all((item in answer.text(name)) is wanted for item in items)


def is_json(answer: Answer, want: Any) -> bool:
    try:
        return bool(json.loads(answer.text("stdout")) == want)
    except json.JSONDecodeError:
        return False


def truncated(answer: Answer, want: bool | str) -> bool:
    cut = {name for name in ("stdout", "stderr") if answer.document.get(f"{name}_truncated")}
    return want == "any" or (cut == {want} if isinstance(want, str) else bool(cut) is want)


def within_cap(answer: Answer, want: int | str) -> bool:
    text = answer.text("stdout")
    return len(text.encode()) <= CAP if want == "output cap" else len(text) <= int(want)


def attempts(answer: Answer, most: int, least: int = 0) -> bool:
    """A refused request has none; where a case does not allow a refusal, its outcome is missed."""
    return answer.refused or least <= len(answer.document["attempts"]) <= most


CHECKS: dict[str, Check] = {
    "http_status": lambda answer, want: bool(answer.status == want),
    "max_seconds": lambda answer, want: bool(answer.seconds <= want),
    "class": equal("outcome"),
    "reason": equal("reason"),
    "class_in": one_of("outcome"),
    "stdout": equal("stdout"),
    "stderr": equal("stderr"),
    "stdout_contains": contains("stdout", wanted=True),
    "stderr_contains": contains("stderr", wanted=True),
    "stdout_not_contains": contains("stdout", wanted=False),
    "stderr_not_contains": contains("stderr", wanted=False),
    "stdout_startswith": lambda answer, want: answer.text("stdout").startswith(want),
    "stdout_json": is_json,
    "stdout_len": lambda answer, want: bool(len(answer.text("stdout")) == want),
    "stdout_max_len": within_cap,
    "stdout_sha256": lambda answer, want: bool(
        hashlib.sha256(answer.text("stdout").encode()).hexdigest() == want
    ),
    "exit_code": equal("exit_code"),
    "exit_code_in": one_of("exit_code"),
    "signal": equal("signal"),
    "timed_out": lambda answer, want: (
        want == "any" or (answer.document.get("reason") == "timeout") is want
    ),
    "truncated": truncated,
    "attempts": lambda answer, want: attempts(answer, want, want),
    "attempts_max": attempts,
}


def unmet(answer: Answer, expect: dict[str, Any]) -> list[str]:
    """List the expectations that an answer does not meet; an unknown one is never met."""
    found = []
    for field, want in expect.items():
        if field == "accept_any":
            each = [unmet(answer, alternative) for alternative in want]
            if all(each):
                found.append(f"none of the alternatives: {each}")
        elif field == "error_contains":
            words = [word in json.dumps(answer.document) for word in want]
            enough = any if expect.get("error_match") == "any" else all
            if not enough(words):
                found.append(f"error_contains {want}")
        elif field == "at_full":
            found += unmet(answer, want) if answer.document.get("isolation") == FULL else []
        elif field in ("after", "error_match"):
            continue
        elif field not in CHECKS:
            found.append(f"unknown field {field!r}")
        elif not CHECKS[field](answer, want):
            found.append(f"{field}: {want!r}")
    return found


def steady(running: System) -> int:
    """Count a system's processes, once those that wait for the next tasks are there."""
    counts: list[int] = []

    def settled() -> bool:
        counts.append(len(running.processes()))
        return len(counts) > SAME and len(set(counts[-SAME:])) == 1

    eventually("its processes are the same for a while", settled)
    return counts[-1]


class Before:
    """The system as it was before a case, and what may be asked of it afterwards."""

    def __init__(self, running: System) -> None:
        self._system = running
        self._workers = self._identities()
        self._links = self._link_lines()
        self._processes = steady(running)
        self._worker = next(p for p in running.processes() if "--local" in words(p))
        self._rss = self._worker.memory_info().rss

    def _identities(self) -> list[tuple[str, str]]:
        return [(each["name"], each["boot"]) for each in self._system.workers()]

    def _link_lines(self) -> int:
        return self._system.daemon.read().count("link lost")

    def check(self, condition: str) -> None:
        """Check a condition of `after`; an unknown one fails."""
        marker = condition.removeprefix("no process with ").partition(" in its command line")[0]
        if condition == "no process of this task remains":
            # By number: what waits for the next task is a new process each time.
            eventually(condition, lambda: len(self._system.processes()) <= self._processes, 5)
        elif condition == f"no process with {marker} in its command line":
            assert processes_with(marker) == []
        elif condition == "same worker still registered":
            assert self._identities() == self._workers
        elif condition == "worker did not reconnect":
            assert (self._identities(), self._link_lines()) == (self._workers, self._links)
        elif condition == "worker RSS grew by less than 3 x cap":
            assert self._worker.memory_info().rss - self._rss < 3 * CAP
        elif condition in ("next task on it succeeds", "a new task succeeds within 15 s"):
            answer = send(self._system.url, b"print('next')", "POST raw")
            assert unmet(answer, {"class": "success", "stdout": "next\n", "max_seconds": 15}) == []
        elif condition == BESIDE_SUCCEEDS:
            pass  # the test awaits that task itself
        else:
            pytest.fail(f"a case wants the unknown condition {condition!r}")


LEVELS = [
    pytest.param(NONE, marks=pytest.mark.slow),
    JAIL_LEVELS[0],
    pytest.param(NAMESPACES, marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=LEVELS)
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    state = tmp_path_factory.mktemp("cases")
    with system(state, "--slots=2", env=SECRETS, level=request.param) as started:
        yield started


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def start_beside(running: System, wanted: str, threads: ThreadPoolExecutor) -> Future[Answer]:
    """Start the other task of a case and wait until it runs."""
    assert wanted == "a 3 s task on the same worker"
    code = b"import time; time.sleep(3); print('beside')"
    future = threads.submit(send, running.url, code, "POST raw")
    eventually("the other task runs", lambda: running.workers()[0]["in_use"] == 1)
    return future


@pytest.mark.parametrize("case", read_cases(), ids=lambda case: f"{case.name}-{case.method}")
def test_a_program_that_broke_others_is_answered_rightly(
    case: Case, running: System, threads: ThreadPoolExecutor
) -> None:
    assert set(case.submit) <= SUBMIT, "the case wants to be sent in an unknown way"
    before = Before(running)
    wanted = case.submit.get("beside")
    beside = start_beside(running, wanted, threads) if wanted else None
    options = {k: case.submit[k] for k in ("timeout", "format") if k in case.submit}
    for _ in range(case.submit.get("repeat", 1)):
        answer = send(running.url, case.code, case.method, **options)
        assert unmet(answer, case.expect) == [], answer
    for condition in case.expect.get("after", []):
        before.check(condition)
    if beside is not None:
        other = beside.result()
        assert unmet(other, {"class": "success", "stdout": "beside\n", "attempts_max": 2}) == []


def test_an_expectation_that_is_not_known_is_never_met() -> None:
    answer = Answer(200, {"outcome": "success"}, 0.1)
    assert unmet(answer, {"class": "success", "colour": "red"}) == ["unknown field 'colour'"]


def test_secrets_in_a_worker_s_own_environment_never_reach_a_task(tmp_path: Path) -> None:
    keys = tmp_path / "scheduler" / "keys"
    make_keys(keys)
    worker = Daemon(
        "worker", "--allow-unsandboxed", "--isolation=none", f"--state={tmp_path / 'worker'}",
        f"--listen=unix:{tmp_path / 'socket'}:mode=600",
        f"--controller-key={keys / CONTROLLER_PUBLIC}", f"--fleet-secret={keys / FLEET_SECRET}",
        env=SECRETS,
    )  # fmt: skip
    try:
        worker.says("listens on")
        with system(tmp_path / "scheduler", f"--worker=unix:{tmp_path / 'socket'}") as running:
            code = (FOLDER / "secret_env_names.py").read_bytes()
            answer = send(running.url, code, "POST raw")
            assert unmet(answer, {"class": "success", "stdout": "[]\n"}) == []
    finally:
        worker.stop()
