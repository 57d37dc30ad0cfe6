"""The way out of one task: a proxy behind the socket that was made in its network namespace."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from runyard.worker.network.accepting import Acceptor
from runyard.worker.network.dialling import Dialler, Own, is_own
from runyard.worker.network.failures import Unreached, Why
from runyard.worker.network.policy import Policy
from runyard.worker.network.proxy import TaskSide
from runyard.worker.network.relay import Counters
from runyard.worker.network.resolve import Resolver
from runyard.worker.network.targets import Target

MOST_CONNECTIONS = 64
MOST_DESCRIPTORS = 1 + 2 * MOST_CONNECTIONS
"""Of one task: its socket, both sides of each connection."""
MOST_LOGGED = 8
"""Refusals of one task that are logged one by one."""

log = Logger()


class Egress(Factory):
    """Serves one task's connections, 64 at a time; more wait until one of them ends.

    Args:
        listening: A listening TCP socket, whose namespace does not matter. It is owned from now on.
        log_context: Fields of what is logged: the attempt, for one.
        own: Tells this machine's own addresses.

    Attributes:
        counters: What went through.
    """

    noisy = False

    def __init__(
        self,
        reactor: Any,
        listening: socket.socket,
        policy: Policy,
        resolver: Resolver,
        log_context: Mapping[str, object],
        own: Own = is_own,
    ) -> None:
        self.clock = reactor
        self.counters = Counters()
        self._reactor = reactor
        self._family = listening.family
        self._dialler = Dialler(reactor, policy, resolver, own)
        self._acceptor = Acceptor(reactor, listening, self._take)
        self._context = dict(log_context)
        self._sides: set[TaskSide] = set()
        self._stopping = False

    @property
    def open(self) -> int:
        """How many connections there are now."""
        return len(self._sides)

    def start(self) -> None:
        """Accept."""
        self._acceptor.resume()

    def stop(self) -> Deferred[None]:
        """Close everything at once; fires when nothing is left. It may be called again."""
        self._stopping = True
        self._acceptor.close()
        gone: list[Deferred[None]] = []
        for side in list(self._sides):
            waited: Deferred[None] = Deferred()
            side.gone.chainDeferred(waited)
            gone.append(waited)
            side.abort()
        return DeferredList(gone).addCallback(lambda _: None)

    def buildProtocol(self, addr: IAddress | None) -> TaskSide:
        """Make the protocol of a connection; pause where that was the last one for now."""
        side = TaskSide(self)
        self._sides.add(side)
        side.gone.addCallback(self._ended, side)
        if len(self._sides) >= MOST_CONNECTIONS:
            self._acceptor.pause()
        return side

    def dial(self, target: Target, factory: IProtocolFactory) -> Deferred[Any]:
        """Connect to what a task asked for, if it may reach it."""
        return self._dialler.dial(target, factory)

    def unreached(self, target: Target, error: Unreached) -> None:
        """Count, and log the first ones: a task may ask for the same a million times."""
        if error.why is not Why.REFUSED:
            self.counters.failed += 1
            return
        self.counters.refused += 1
        if self.counters.refused <= MOST_LOGGED:
            log.info(
                "a task was refused {target}: {why}",
                target=str(target), why=error.text, **self._context,
            )  # fmt: skip

    def _take(self, connection: socket.socket) -> None:
        try:
            self._reactor.adoptStreamConnection(connection.fileno(), self._family, self)
        except OSError as error:  # it is gone already, or there is no descriptor for it
            log.debug("a connection of a task was lost: {error}", error=str(error))

    def _ended(self, _: None, side: TaskSide) -> None:
        self._sides.discard(side)
        if not self._stopping and len(self._sides) < MOST_CONNECTIONS:
            self._acceptor.resume()
