"""The checker's policy: who checks what, when, and what follows a child's end. No processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from runyard.protocols.formats import Format
from runyard.worker.formats.checker import Checker
from runyard.worker.formats.verdicts import Verdict

JSON = Format("json")
GOOD = {"ok": True, "problems": [], "more": 0, "failed": None, "last": False}
MIB = 1024 * 1024


class FakeChild:
    def __init__(
        self, heard: Callable[[dict[str, Any]], None], gone: Callable[[str], None]
    ) -> None:
        self.heard, self.gone = heard, gone
        self.exited: Deferred[None] = Deferred()
        self.asked: list[bytes] = []
        self.kills = 0

    def ask(self, request: dict[str, Any], descriptor: int) -> None:
        self.asked.append(os.pread(descriptor, request["output"], max(0, request["schema"])))

    def kill(self) -> None:
        self.kills += 1

    def end(self, why: str = "it was ended by signal 9") -> None:
        self.gone(why)
        self.exited.callback(None)


class Turns(Clock):
    """Counts how often others were given a turn."""

    turns = 0

    def callLater(self, delay: float, *args: Any, **kwargs: Any) -> Any:
        self.turns += delay == 0
        return super().callLater(delay, *args, **kwargs)


class Bench:
    def __init__(self, children: int = 1) -> None:
        self.clock = Turns()
        self.children: list[FakeChild] = []
        self.error: OSError | None = None
        self.checker = Checker(self.clock, self.start, wall_s=5, children=children)

    def start(self, heard: Any, gone: Any) -> FakeChild:
        if self.error is not None:
            raise self.error
        self.children.append(FakeChild(heard, gone))
        return self.children[-1]

    def ready(self) -> FakeChild:
        self.children[-1].heard({"ready": True})
        return self.children[-1]

    def check(self, output: bytes = b"1") -> list[Any]:
        results: list[Any] = []
        self.checker.check(JSON, output).addBoth(results.append)
        return results


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_check_waits_for_its_child_and_the_next_for_the_answer(bench: Bench) -> None:
    first, second = bench.check(b"one"), bench.check(b"two")
    assert len(bench.children) == 1
    child = bench.ready()
    assert child.asked == [b"one"]
    child.heard(GOOD)
    assert first == [Verdict(ok=True, name="json")]
    assert (second, child.asked) == ([], [b"one", b"two"])
    child.heard({**GOOD, "ok": False, "problems": [["$", "no"]], "more": 2})
    assert (second[0].ok, second[0].problems[0].message, second[0].more) == (False, "no", 2)
    assert bench.clock.getDelayedCalls() == []


def test_no_more_children_are_started_than_allowed_nor_than_are_needed() -> None:
    bench = Bench(children=3)
    bench.checker.warm()
    bench.checker.warm()
    assert len(bench.children) == 1
    bench.check()
    assert len(bench.children) == 1, "the one that starts is for it"
    for _ in range(9):
        bench.check()
    assert len(bench.children) == 3


def test_a_check_that_does_not_end_is_killed_and_that_is_its_verdict(bench: Bench) -> None:
    results, waiting = bench.check(), bench.check(b"next")
    child = bench.ready()
    bench.clock.advance(4.9)
    assert (results, child.kills) == ([], 0)
    bench.clock.advance(0.2)
    assert results[0].failed == "the check did not end within 5 s"
    assert not results[0].ok
    child.heard(GOOD)  # too late: it belongs to nobody, least of all to the next
    assert (child.kills, waiting) == (1, [])
    child.end()
    assert bench.ready().asked == [b"next"]
    bench.children[-1].heard(GOOD)
    assert waiting[0].ok


def test_a_child_that_dies_is_replaced_and_its_check_tried_once_more(bench: Bench) -> None:
    results = bench.check(b"same")
    bench.ready().end()
    assert results == []
    second = bench.ready()
    assert second.asked == [b"same"]
    second.end("it was ended by signal 11")
    why = "the checking process did not do it: it was ended by signal 11"
    assert [each.failed for each in results] == [why]


def test_a_child_that_dies_between_checks_harms_none(bench: Bench) -> None:
    bench.checker.warm()
    bench.ready().end()
    assert len(bench.children) == 1, "a new one is started when it is needed"
    results = bench.check()
    bench.ready().heard(GOOD)
    assert results[0].ok


@pytest.mark.parametrize(
    "packet", [{}, {"ok": 1}, {**GOOD, "problems": [["$", "x"]]}, {**GOOD, "ok": False}]
)
def test_an_answer_that_is_no_verdict_ends_the_child(bench: Bench, packet: Any) -> None:
    results = bench.check()
    child = bench.ready()
    child.heard(packet)
    assert (child.kills, results) == (1, [])
    child.end()
    bench.ready().heard(GOOD)
    assert results[0].ok


def test_a_child_that_has_done_its_part_gets_no_more(bench: Bench) -> None:
    first, second = bench.check(b"one"), bench.check(b"two")
    child = bench.ready()
    child.heard({**GOOD, "last": True})
    assert (first[0].ok, child.asked) == (True, [b"one"])
    child.end("it ended with 0")
    bench.ready().heard(GOOD)
    assert second[0].ok


def test_a_child_that_cannot_start_is_tried_again_after_a_while(bench: Bench) -> None:
    results = bench.check()
    bench.children[-1].heard({"broken": "ImportError: jsonschema"})
    bench.children[-1].end("it ended with 1")
    assert (results, len(bench.children)) == ([], 1)
    waiting = bench.check()
    assert len(bench.children) == 1, "not for each check that comes"
    bench.clock.advance(0.2)
    child = bench.ready()
    child.heard(GOOD)
    child.heard(GOOD)
    assert (results[0].ok, waiting[0].ok) == (True, True)
    assert bench.clock.getDelayedCalls() == []


def test_children_that_never_start_fail_all_that_wait(bench: Bench) -> None:
    first, second = bench.check(), bench.check()
    bench.clock.pump([0.2, 0.5, 1.0])
    assert len(bench.children) == 1, "it starts still"
    for pause in (0.2, 0.5, 1.0, 0):
        assert (first, second) == ([], [])
        bench.children[-1].heard({"broken": "ImportError: jsonschema"})
        bench.children[-1].end("it ended with 1")
        bench.clock.advance(pause)
    why = "the checking process did not do it: ImportError: jsonschema"
    assert [each.failed for each in first + second] == [why, why]
    third = bench.check()
    bench.ready().heard(GOOD)
    assert third[0].ok


def test_a_start_that_fails_while_another_child_works_harms_none() -> None:
    bench = Bench(children=2)
    first, second = bench.check(), bench.check()
    working, failing = bench.children
    failing.end("it ended with 1")
    working.heard({"ready": True})
    working.heard(GOOD)
    working.heard(GOOD)
    assert (first[0].ok, second[0].ok) == (True, True)
    assert len(bench.children) == 3, "the start is tried again as soon as one has worked"
    bench.checker.stop()


def test_a_child_that_is_never_ready_is_given_up(bench: Bench) -> None:
    bench.check()
    bench.clock.advance(20.1)
    (child,) = bench.children
    assert child.kills == 1
    child.end()
    bench.clock.advance(0.2)
    assert len(bench.children) == 2


def test_no_process_to_be_had_is_an_answer_in_the_end(bench: Bench) -> None:
    bench.error = OSError(11, "Resource temporarily unavailable")
    results = bench.check()
    bench.clock.pump([0.2, 0.5, 1.0])
    assert "temporarily" in results[0].failed
    later = bench.check()
    bench.error = None
    bench.clock.advance(0.2)
    bench.ready().heard(GOOD)
    assert later[0].ok


def test_a_pause_does_not_outlive_the_checker(bench: Bench) -> None:
    results = bench.check()
    bench.children[-1].end("it ended with 1")
    bench.checker.stop()
    assert results[0].failed == "the worker stops"
    assert bench.clock.getDelayedCalls() == []


def test_a_large_output_is_handed_over_piece_by_piece(bench: Bench) -> None:
    bench.checker.warm()
    child = bench.ready()
    output = bytes(range(256)) * (16 * MIB // 256)
    results = bench.check(output)
    assert child.asked == []
    bench.clock.advance(0)
    assert bench.clock.turns == 15
    assert child.asked == [output]
    child.heard(GOOD)
    assert results[0].ok


def test_a_cancelled_check_lets_the_others_go_on(bench: Bench) -> None:
    ends: list[Any] = []
    checks = [bench.checker.check(JSON, output) for output in (b"1", b"2", b"3")]
    for check in checks:
        check.addErrback(lambda failure: failure.trap(CancelledError)).addCallback(ends.append)
    child = bench.ready()
    checks[1].cancel()
    checks[0].cancel()
    assert (ends, child.kills) == ([CancelledError] * 2, 1)
    child.end()
    third = bench.ready()
    assert third.asked == [b"3"]
    third.heard(GOOD)
    assert ends[2].ok


def test_stopping_answers_every_check_and_waits_for_the_children(bench: Bench) -> None:
    results, waiting = bench.check(), bench.check()
    child = bench.ready()
    stopped: list[Any] = []
    bench.checker.stop().addCallback(stopped.append)
    assert (waiting[0].failed, child.kills, stopped) == ("the worker stops", 1, [])
    child.end()
    assert stopped == [None]
    assert "the worker stops" in results[0].failed
    assert bench.check()[0].failed == "the worker stops"
    assert bench.clock.getDelayedCalls() == []
