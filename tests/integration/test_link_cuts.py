"""A link that breaks under load, in every way that a network has: no task runs twice for it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import pytest
from crew import Crew, counts, crew, finished, links, post
from harness import eventually, select_nothing
from proxy import BOTH, Proxy
from witness import Witness, witness

SLOTS = 4
SECONDS = (0.2, 0.6, 2.2)


def cut_and_refused(proxy: Proxy) -> None:
    proxy.refuse()
    proxy.cut()


def silent_both_ways(proxy: Proxy) -> None:
    proxy.silence(*BOTH)


def silent_to_the_worker(proxy: Proxy) -> None:
    proxy.silence("to_worker", drop=True)


def silent_to_the_scheduler(proxy: Proxy) -> None:
    proxy.silence("to_scheduler", drop=True)


def late_and_cut(proxy: Proxy) -> None:
    proxy.delay(0.15, *BOTH)
    proxy.cut()


def late_one_way(proxy: Proxy) -> None:
    proxy.delay(0.6, "to_scheduler")


WAYS: list[Callable[[Proxy], None]] = [
    cut_and_refused,
    silent_to_the_scheduler,
    late_and_cut,
    silent_to_the_worker,
    silent_both_ways,
    late_one_way,
]


class Load:
    """Tasks that keep every slot busy, each told apart by a token of its own."""

    def __init__(self, made: Crew, seen: Witness) -> None:
        self.tokens: list[str] = []
        self.tasks: list[str] = []
        self._made = made
        self._seen = seen

    def fill(self) -> None:
        """Have as many again wait as there are slots."""
        while counts(self._made.running)["pending"] < SLOTS:
            token = f"t{len(self.tokens)}"
            seconds = SECONDS[len(self.tokens) % len(SECONDS)]
            self.tokens.append(token)
            self.tasks.append(post(self._made.running, self._seen.program(token, seconds)))

    def for_seconds(self, seconds: float) -> None:
        for _ in range(int(seconds / 0.25)):
            self.fill()
            select_nothing(0.25)


def run_through(folder: Path, lease: float, cuts: int) -> None:
    with witness() as seen, crew(folder, *links(lease), slots=(SLOTS,)) as made:
        (proxy,), load = made.proxies, Load(made, seen)
        (boot,) = [worker["boot"] for worker in made.running.workers()]
        for way in islice(cycle(WAYS), cuts):
            load.fill()
            eventually("every slot is busy", lambda: counts(made.running)["running"] == SLOTS)
            way(proxy)
            load.for_seconds(lease / 2)
            proxy.heal()
            eventually("the link is there again", made.linked)
        documents = finished(made.running, load.tasks)
        assert [worker["boot"] for worker in made.running.workers()] == [boot]
        assert counts(made.running)["unfinished"] == 0
        log = made.running.daemon.read()
        runs = seen.runs()
    assert log.count("link lost") >= cuts * 2 // 3, "it was really cut"
    assert "Traceback" not in log
    assert {document["outcome"] for document in documents} == {"success"}
    assert {len(document["attempts"]) for document in documents} == {1}
    assert sorted(runs) == sorted(load.tokens)
    for token, document in zip(load.tokens, documents, strict=True):
        (run,) = runs[token]
        assert run.ended
        assert document["stdout"] == f"{run.pid}\n"


def test_a_link_that_is_cut_costs_no_attempt(tmp_path: Path) -> None:
    run_through(tmp_path, 4, 2)


@pytest.mark.slow
def test_a_link_that_is_cut_twenty_times_costs_no_attempt(tmp_path: Path) -> None:
    run_through(tmp_path, 6, 20)
