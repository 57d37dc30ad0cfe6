"""A task's proxy in memory: its reactor, its names, and transports that can end by halves."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from runyard.worker.network.egress import Egress
from runyard.worker.network.policy import Policy

PUBLIC = "93.184.216.34"
OTHER = "93.184.216.35"
PRIVATE = "10.0.0.7"


class HalfTransport(StringTransport):
    """A transport that ends its directions one by one, as TCP does."""

    wrote_end = False
    aborted = False
    gone = False
    protocol: Any = None
    bufferSize = FileDescriptor.bufferSize

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.nodelay = enabled

    def join(self, protocol: Any) -> None:
        """Connect a protocol."""
        self.protocol = protocol
        protocol.makeConnection(self)

    def write(self, data: bytes) -> None:
        assert not self.wrote_end, "written after the end"
        super().write(data)

    def loseWriteConnection(self) -> None:
        assert self.producer is None, "a transport with a producer would never end"
        self.wrote_end = True

    def loseConnection(self) -> None:
        assert self.producer is None, "a transport with a producer would never end"
        self._end(ConnectionDone())

    def abortConnection(self) -> None:
        self.aborted = True
        self._end(ConnectionLost())

    def pauseProducing(self) -> None:
        self.producerState = "paused"

    def resumeProducing(self) -> None:
        self.producerState = "producing"

    def _end(self, error: Exception) -> None:
        if not self.gone:
            self.gone = True
            self.disconnecting = True
            self.protocol.connectionLost(Failure(error))

    def break_off(self) -> None:
        """The peer resets the connection."""
        self._end(ConnectionLost())


class Names:
    """A resolver with answers that may differ each time; a missing one never comes."""

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = {name.replace("_", "."): list(each) for name, each in answers.items()}
        self.asked: list[str] = []

    def __call__(self, name: str) -> Deferred[list[str]]:
        self.asked.append(name)
        if name not in self.answers:
            return fail(OSError(-2, "Name or service not known"))
        answers = self.answers[name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return Deferred() if answer is None else succeed(list(answer))


class Bench:
    """An Egress without sockets, and what has been dialled."""

    def __init__(self, *rules: Any, names: Names | None = None) -> None:
        self.reactor = MemoryReactorClock()
        self.names = names or Names(site_test=[[PUBLIC]])
        listening = socket.socket()
        own = {"127.0.0.1", PRIVATE}
        self.egress = Egress(
            self.reactor, listening, Policy(tuple(rules)), self.names, {"attempt": "a.1"},
            lambda address: str(address) in own,
        )  # fmt: skip

    def connect(self) -> HalfTransport:
        """Connect as a task does."""
        transport = HalfTransport()
        transport.join(self.egress.buildProtocol(None))
        return transport

    @property
    def dialled(self) -> list[tuple[str, int]]:
        """All addresses and ports that were dialled."""
        return [(host, port) for host, port, *_ in self.reactor.tcpClients]

    def answer(self) -> HalfTransport:
        """Let the last dialled connection stand; give its transport."""
        host, port, factory, *_ = self.reactor.tcpClients[-1]
        protocol = factory.buildProtocol(IPv4Address("TCP", host, port))
        transport = HalfTransport()
        assert protocol is not None
        transport.join(protocol)
        return transport

    def refuse(self, error: Exception) -> None:
        """Let the last dialled connection fail."""
        factory: Any = self.reactor.tcpClients[-1][2]
        factory.clientConnectionFailed(None, Failure(error))

    def joined(self, asked: bytes) -> tuple[HalfTransport, HalfTransport]:
        """Ask, and let it connect; give both sides' transports."""
        task = self.connect()
        task.protocol.dataReceived(asked)
        return task, self.answer()

    def close(self) -> None:
        """End it; nothing may be left."""
        stopped = self.egress.stop()
        assert stopped.called
        assert self.egress.open == 0
        assert not [call for call in self.reactor.getDelayedCalls() if call.active()]
