"""Which connections to a worker are plain, and which must be TLS."""

from __future__ import annotations

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress, IProtocol, IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory

from runyard.daemon.tls import ServerOptions, is_local
from runyard.worker.link import WorkerFactory

MOST_UNPROVEN = 128
"""Connections without a proof at a time: everybody who reaches the port can open them."""

log = Logger()


class Door(Factory):
    """Takes connections: plain from this machine, TLS from everywhere else.

    It goes by the peer's address of each connection, so one port serves both. With `always`, TCP
    from this machine is TLS too: it may come from elsewhere through a proxy.
    """

    noisy = False

    def __init__(self, clock: IReactorTime, links: WorkerFactory, *, always: bool = False) -> None:
        self._links = links
        self._always = always
        self._secured = TLSMemoryBIOFactory(ServerOptions(), False, links, clock)
        self._crowded = False

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:  # type: ignore[override]
        """Make the protocol of a new connection; none, which closes it, where too many wait."""
        crowded = self._links.unproven >= MOST_UNPROVEN
        if crowded and not self._crowded:
            log.warn(
                "{count} connections without a proof: no more until some end",
                count=self._links.unproven,
            )
        self._crowded = crowded
        if crowded:
            return None
        plain = isinstance(addr, UNIXAddress) or (is_local(addr) and not self._always)
        return (self._links if plain else self._secured).buildProtocol(addr)
