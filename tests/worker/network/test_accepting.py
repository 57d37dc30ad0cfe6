"""Accepting goes on after what can go wrong with it."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from runyard.worker.network.accepting import RETRY_S, Acceptor


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
