"""Accepting goes on after what can go wrong with it."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest
from egress import Bench
from twisted.internet.testing import MemoryReactorClock

from runyard.worker.network.accepting import RETRY_S, Acceptor
from runyard.worker.network.egress import MOST_CONNECTIONS


class Failing:
    """A listening socket that cannot accept."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.closed = False

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def accept(self) -> tuple[socket.socket, Any]:
        raise OSError(self.number, "no")

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("number", "pauses"),
    [(errno.EMFILE, True), (errno.ENOBUFS, True), (errno.EAGAIN, False),
     (errno.ECONNABORTED, False)],
)  # fmt: skip
def test_without_a_descriptor_it_waits_and_tries_again(number: int, pauses: bool) -> None:
    reactor: Any = MemoryReactorClock()
    listening: Any = Failing(number)
    acceptor = Acceptor(reactor, listening, lambda connection: None)
    acceptor.resume()
    acceptor.doRead()
    assert (acceptor not in reactor.getReaders()) == pauses
    reactor.advance(RETRY_S)
    assert acceptor in reactor.getReaders()
    acceptor.doRead()
    acceptor.close()
    assert listening.closed
    assert not [call for call in reactor.getDelayedCalls() if call.active()]
    acceptor.resume()
    assert acceptor not in reactor.getReaders()


def test_a_pause_outlasts_what_is_tried_again() -> None:
    reactor: Any = MemoryReactorClock()
    listening: Any = Failing(errno.EMFILE)
    acceptor = Acceptor(reactor, listening, lambda connection: None)
    acceptor.resume()
    acceptor.doRead()
    acceptor.pause()
    reactor.advance(RETRY_S)
    assert acceptor not in reactor.getReaders()
    acceptor.resume()
    assert acceptor in reactor.getReaders()


def test_it_is_tried_once_at_a_time() -> None:
    reactor: Any = MemoryReactorClock()
    listening: Any = Failing(errno.EMFILE)
    acceptor = Acceptor(reactor, listening, lambda connection: None)
    acceptor.resume()
    acceptor.doRead()
    for _ in range(3):  # connections end meanwhile
        acceptor.resume()
        assert acceptor not in reactor.getReaders()
    assert len(reactor.getDelayedCalls()) == 1
    reactor.advance(RETRY_S)
    assert acceptor in reactor.getReaders()
    acceptor.close()


def test_nothing_is_accepted_while_there_are_as_many_as_may_be() -> None:
    bench = Bench()
    bench.egress.start()
    tasks = [bench.connect() for _ in range(MOST_CONNECTIONS + 1)]
    acceptor = bench.egress._acceptor
    for most, task in ((MOST_CONNECTIONS, tasks[0]), (MOST_CONNECTIONS - 1, tasks[1])):
        assert acceptor not in bench.reactor.getReaders()
        task.break_off()
        assert bench.egress.open == most
    assert acceptor in bench.reactor.getReaders()
    bench.close()
