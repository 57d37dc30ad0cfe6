"""The proxy's connection to what a task asked for."""

from __future__ import annotations

from typing import Any
from typing import Protocol as Interface

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer


class Inside(Interface):
    """Who is told of it."""

    def outside_sent(self, data: bytes) -> None:
        """Bytes came."""

    def outside_ended(self) -> None:
        """No more will come."""

    def outside_lost(self, reason: Failure) -> None:
        """The connection is over."""


@implementer(IHalfCloseableProtocol)
class Outside(Protocol):
    """Tells the inside what happens."""

    transport: Any

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self.lost = False

    def connectionMade(self) -> None:
        """Send small writes at once: they are small because the task's are."""
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        """Hand bytes in."""
        self._inside.outside_sent(data)

    def readConnectionLost(self) -> None:
        """Say that the other end sends no more."""
        self._inside.outside_ended()

    def writeConnectionLost(self) -> None:
        """Nothing: it is us who end our writing."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Say that it is over."""
        self.lost = True
        self._inside.outside_lost(reason)


class OutsideFactory(Factory):
    """Makes the one protocol."""

    noisy = False

    def __init__(self, inside: Inside) -> None:
        self._inside = inside

    def buildProtocol(self, addr: IAddress | None) -> Outside:
        """Make it."""
        return Outside(self._inside)
