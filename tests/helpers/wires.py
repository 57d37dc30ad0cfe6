"""Connections in memory, whose bytes arrive when the network lets them."""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure


class End:
    """One end of a connection: a transport whose bytes arrive when the network lets them."""

    def __init__(self) -> None:
        self.protocol: Any = None
        self.peer: End
        self.inbox: deque[bytes] = deque()
        self.closing = self.lost = False

    @property
    def disconnecting(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        if not self.closing and not self.lost:
            self.peer.inbox.append(data)

    def loseConnection(self) -> None:
        self.closing = True

    def abortConnection(self) -> None:
        self.closing = True
        self.lose(ConnectionLost())

    def lose(self, error: Exception) -> None:
        if not self.lost:
            self.lost = True
            self.protocol.connectionLost(Failure(error))

    def getPeer(self) -> str:
        return "the fleet's network"

    def registerProducer(self, producer: object, streaming: bool) -> None: ...

    def unregisterProducer(self) -> None: ...


class Wire:
    """A connection between the controller and a host."""

    def __init__(self, client: Any, server: Any) -> None:
        self.client, self.server = End(), End()
        self.client.peer, self.server.peer = self.server, self.client
        self.client.protocol, self.server.protocol = client, server
        client.makeConnection(self.client)
        server.makeConnection(self.server)

    @property
    def open(self) -> bool:
        """Whether neither side has closed it or heard of its end."""
        ends = (self.client, self.server)
        return not any(end.lost or end.closing for end in ends)

    @property
    def over(self) -> bool:
        return self.client.lost and self.server.lost


def drain(end: End) -> bool:
    """Let everything that was sent to an end arrive, its peer's end last; whether there was any."""
    moved = False
    while end.inbox and not end.lost:
        end.protocol.dataReceived(end.inbox.popleft())
        moved = True
    if not end.lost and ((end.peer.closing and not end.inbox) or (end.closing and not end.inbox)):
        end.lose(ConnectionDone())
        moved = True
    return moved
