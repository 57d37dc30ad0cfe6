"""Names that nobody answers cost their task alone, and no more than it may have."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_twisted
from egress import PUBLIC, Bench
from slots import until
from twisted.internet import reactor as installed
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from runyard.worker.network.resolve import MOST_OF_SLOT, MOST_THREADS, MOST_WAITING, Threads

reactor: Any = installed
HUNG = b"CONNECT hung.test:443 HTTP/1.1\r\n\r\n"


class Hanging:
    """Threads whose names hang until they are let go, but for one that has its answer at once."""

    def __init__(self, most: int = MOST_OF_SLOT) -> None:
        self.gate = threading.Event()
        self.threads = Threads(reactor, self._look, most)

    def _look(self, name: str) -> list[str]:
        if name != "site.test":
            self.gate.wait(20)
        return [PUBLIC]


@pytest_twisted.async_yield_fixture
async def hanging() -> AsyncIterator[Hanging]:
    made = Hanging()
    yield made
    made.gate.set()
    await until(lambda: made.threads.busy == 0)


def give_up(*asked: Deferred[Any]) -> None:
    for each in asked:
        each.addErrback(lambda failure: failure.trap(CancelledError))
        each.cancel()


@pytest_twisted.ensureDeferred
async def test_who_asks_and_leaves_keeps_threads_but_no_place_in_the_queue(
    hanging: Hanging,
) -> None:
    names: Any = hanging.threads.share()
    bench = Bench(names=names)
    for _ in range(300):
        task = bench.connect()
        task.protocol.dataReceived(HUNG)
        task.break_off()
    assert hanging.threads.busy == MOST_THREADS
    assert hanging.threads.waiting == 0
    bench.close()


@pytest_twisted.ensureDeferred
async def test_the_queue_is_bounded_and_the_task_is_told(hanging: Hanging) -> None:
    resolver: Any = hanging.threads.share()
    bench = Bench(names=resolver)
    asked = [resolver("hung.test") for _ in range(MOST_THREADS + MOST_WAITING)]
    task = bench.connect()
    task.protocol.dataReceived(HUNG)
    assert task.value().startswith(b"HTTP/1.1 502 ")
    assert b"runyard: hung.test was not resolved: 64 others of this task wait" in task.value()
    assert hanging.threads.waiting == MOST_WAITING
    give_up(*asked)
    assert hanging.threads.waiting == 0
    bench.close()


@pytest_twisted.ensureDeferred
async def test_the_next_task_s_names_are_not_held_up(hanging: Hanging) -> None:
    before = hanging.threads.share()
    give_up(*[before("hung.test") for _ in range(2 * MOST_THREADS)])
    assert await hanging.threads.share()("site.test") == [PUBLIC]
    assert hanging.threads.busy == MOST_THREADS


@pytest_twisted.ensureDeferred
async def test_many_tasks_in_a_row_have_no_more_threads_than_their_slot() -> None:
    hanging = Hanging(most=2 * MOST_THREADS + 3)
    for _ in range(4):
        resolver = hanging.threads.share()
        give_up(*[resolver("hung.test") for _ in range(MOST_THREADS)])
    assert hanging.threads.busy == 2 * MOST_THREADS + 3
    late = hanging.threads.share()("site.test")
    assert hanging.threads.waiting == 1
    hanging.gate.set()
    assert await late == [PUBLIC]
    await until(lambda: hanging.threads.busy == 0)


def test_without_a_thread_the_name_fails_and_nothing_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_thread(*_: Any, **__: Any) -> Any:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading, "Thread", no_thread)
    threads = Threads(reactor, lambda name: [PUBLIC])
    failures: list[Failure] = []
    threads.share()("site.test").addErrback(failures.append)
    assert failures[0].getErrorMessage() == (
        "site.test was not resolved: this worker gets no thread for it"
    )
    assert (threads.busy, threads.waiting) == (0, 0)
