"""One connection to a bounded site, on a string transport."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from runyard.sched.web import BoundedSite, WebLimits

LIMITS = WebLimits()


REQUEST_LINE, HEADERS, BODY, IDLE_S = 262_144, 65_536, 33_554_432, 60.0


class Echo(Resource):
    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[bytes, bytes, int]] = []
        self.held: list[Any] = []

    def render(self, request: Any) -> Any:
        if request.path == b"/slow":
            self.held.append(request)
            return NOT_DONE_YET
        body = request.content.read()
        self.seen.append((request.path, request.query, len(body)))
        return b"%d" % len(body)


class Line:
    """One connection."""

    def __init__(
        self,
        limits: WebLimits = LIMITS,
        site: Any = None,
        kind: type[StringTransport] = StringTransport,
    ) -> None:
        self.echo = Echo()
        self.clock = Clock()
        address = IPv4Address("TCP", "127.0.0.1", 1)
        self.site = site or BoundedSite(self.echo, self.clock, limits)
        self.channel: Any = self.site.buildProtocol(address)
        self.transport = kind(hostAddress=address, peerAddress=address)
        self.channel.makeConnection(self.transport)

    def feed(self, data: bytes) -> None:
        for start in range(0, len(data), 65_536):
            if not self.transport.disconnecting:
                self.channel.dataReceived(data[start : start + 65_536])

    def status(self) -> int:
        return int(self.transport.value().split()[1])

    def close(self) -> None:
        self.channel.connectionLost(Failure(ConnectionDone()))
        for call in self.clock.getDelayedCalls():
            call.cancel()
