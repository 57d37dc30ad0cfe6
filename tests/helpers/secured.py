"""Links over TLS in memory, and somebody who stands between their ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fakes import SECRET
from pair import Pair
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.test.iosim import FakeTransport, IOPump, connect

from runyard.daemon.tls import ClientOptions, ServerOptions
from runyard.worker.door import Door

FAR = IPv4Address("TCP", "192.0.2.9", 50000)
NEAR = IPv4Address("TCP", "127.0.0.1", 50000)


@contextmanager
def warnings() -> Iterator[list[str]]:
    """Collect the warnings that are logged meanwhile, and anything worse."""
    lines: list[str] = []

    def observe(event: dict[str, Any]) -> None:
        if event["log_level"] >= LogLevel.warn:
            lines.append(formatEvent(event))

    publisher: Any = globalLogPublisher
    publisher.addObserver(observe)
    try:
        yield lines
    finally:
        publisher.removeObserver(observe)


def pump(clock: Any, server: Any, client: Any) -> IOPump:
    """Connect two protocols, wrapped in TLS or not."""
    made: IOPump = connect(
        server, FakeTransport(server, isServer=True),
        client, FakeTransport(client, isServer=False), clock=clock,
    )  # fmt: skip
    return made


def inner(protocol: Any) -> Any:
    """Give what speaks our protocol, below TLS or not."""
    return getattr(protocol, "wrappedProtocol", None) or protocol


class SecuredPair(Pair):
    """A pair whose ends are on two machines; either end may think otherwise."""

    def __init__(
        self,
        peer: IPv4Address = FAR,
        *,
        always: bool = False,
        client_tls: bool = True,
        secret: bytes = SECRET,
    ) -> None:
        self.peer, self.always, self.client_tls = peer, always, client_tls
        super().__init__(secret=secret)

    def ends(self) -> tuple[Any, Any]:
        """Make both ends of a new connection: the worker's, the controller's."""
        server: Any = Door(self.clock, self.factory, always=self.always).buildProtocol(self.peer)
        factory: Any = self.link
        if self.client_tls:
            factory = TLSMemoryBIOFactory(ClientOptions(), True, self.link, self.clock)
        client = factory.buildProtocol(None)
        self.server, self.client = inner(server), inner(client)
        return server, client

    def connect(self) -> None:
        self.pump = pump(self.clock, *self.ends())
        self.pump.flush()


class Relay(Protocol):
    """Passes on in clear what comes; it sees, and could change, every byte."""

    def __init__(self) -> None:
        self.other: Any = None
        self.seen = b""
        self.early: list[bytes] = []

    def connectionMade(self) -> None:
        for data in self.early:
            self.transport.write(data)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.seen += data
        if self.other.transport is None:
            self.other.early.append(data)
        else:
            self.other.transport.write(data)

    def connectionLost(self, reason: Any = None) -> None:
        if self.other.transport is not None:
            self.other.transport.loseConnection()


class Interceptor(SecuredPair):
    """A pair with a man in the middle, who ends TLS, or leaves it out, on either side."""

    def __init__(self, *, to_controller: bool, to_worker: bool, **more: Any) -> None:
        self.to_controller, self.to_worker = to_controller, to_worker
        super().__init__(**more)

    def connect(self) -> None:
        server, client = self.ends()
        front, back = Relay(), Relay()
        front.other, back.other = back, front
        self.front, self.back = front, back
        worker_side = pump(self.clock, server, self._wrapped(back, True, self.to_worker))
        controller_side = pump(self.clock, self._wrapped(front, False, self.to_controller), client)
        self.pump = controller_side
        while worker_side.flush() | controller_side.flush():
            pass

    def _wrapped(self, relay: Relay, client: bool, tls: bool) -> Any:
        factory = Factory.forProtocol(lambda: relay)
        if not tls:
            return relay
        options = ClientOptions() if client else ServerOptions()
        return TLSMemoryBIOFactory(options, client, factory, self.clock).buildProtocol(None)
