"""Connecting to a target: its name resolved once, each address judged, the judged one dialled."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address
from typing import Any

from twisted.internet import error as failed
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IProtocolFactory

from runyard.worker.network.failures import Unreached, Why
from runyard.worker.network.kinds import Address, unmapped
from runyard.worker.network.policy import Policy
from runyard.worker.network.resolve import Resolver, addresses_of
from runyard.worker.network.targets import Target

MOST_TRIES = 4
CONNECT_S = 10.0
_NO_NETWORK = (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETDOWN)

_NOBODYS = {4: ip_address("192.0.2.1"), 6: ip_address("2001:db8::1")}  # of documentations

Own = Callable[[Address], bool]


def is_own(address: Address) -> bool:
    """Whether an address is this machine's: only to such a one a socket can be bound.

    No packet goes out. It asks the kernel each time, as addresses come and go. Where the kernel
    lets sockets be bound to any address (`ip_nonlocal_bind`), the routing decides.
    """
    return _binds(address) and (not _binds(_NOBODYS[address.version]) or _leads_back(address))


def _binds(address: Address) -> bool:
    try:
        with _datagram_socket(address) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _leads_back(address: Address) -> bool:
    try:
        with _datagram_socket(address) as probe:
            probe.connect((str(address), 9))  # sends nothing
            return ip_address(probe.getsockname()[0]) == address
    except OSError:
        return False


def _datagram_socket(address: Address) -> socket.socket:
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    return socket.socket(family, socket.SOCK_DGRAM)


class Dialler:
    """Connects to what the policy lets tasks reach, by the address that was judged.

    A name is resolved once for each connection, and what is dialled is an address, so a name that
    is answered differently a moment later changes nothing.
    """

    def __init__(self, reactor: Any, policy: Policy, resolver: Resolver, own: Own = is_own) -> None:
        self._reactor = reactor
        self._policy = policy
        self._resolver = resolver
        self._own = own

    def dial(self, target: Target, factory: IProtocolFactory) -> Deferred[Any]:
        """Connect; fires with the factory's protocol. May be cancelled.

        Fails with:
            Unreached: it was refused, or no address of it answered.
        """
        return Deferred.fromCoroutine(self._dial(target, factory))

    async def _dial(self, target: Target, factory: IProtocolFactory) -> Any:
        last: Unreached | None = None
        for address in (await self._permitted(target))[:MOST_TRIES]:
            try:
                return await self._connect(address, target.port, factory)
            except (failed.ConnectError, OSError) as error:
                last = _unreached(address, target.port, error)
        assert last is not None  # noqa: S101 (there is a permitted one)
        raise last

    async def _permitted(self, target: Target) -> list[Address]:
        """Give the addresses that may be reached: at least one.

        Raises:
            Unreached: there is none.
        """
        if isinstance(target.host, str):
            found = await addresses_of(self._reactor, self._resolver, target.host)
        else:
            found = [target.host]
        refusals = {each: self._judge(target, each) for each in map(unmapped, found)}
        permitted = [each for each, refusal in refusals.items() if refusal is None]
        if not permitted:
            raise Unreached(Why.REFUSED, str(next(iter(refusals.values()))))
        return permitted

    def _judge(self, target: Target, address: Address) -> str | None:
        return self._policy.refuses(target, address, own=self._own(address))

    def _connect(self, address: Address, port: int, factory: IProtocolFactory) -> Deferred[Any]:
        kind = TCP4ClientEndpoint if isinstance(address, IPv4Address) else TCP6ClientEndpoint
        connected: Deferred[Any] = kind(self._reactor, str(address), port, CONNECT_S).connect(
            factory
        )
        return connected


def _unreached(address: Address, port: int, error: Exception) -> Unreached:
    place = str(Target(address, port))
    number = getattr(error, "osError", None) or getattr(error, "errno", None)
    if isinstance(error, failed.ConnectionRefusedError):
        return Unreached(Why.NO_LISTENER, f"{place} refuses connections")
    if isinstance(error, (failed.TimeoutError, failed.TCPTimedOutError)):
        return Unreached(Why.TIMEOUT, f"{place} did not answer in time")
    if number in _NO_NETWORK:
        return Unreached(Why.NO_NETWORK, f"this worker has no network to {place}")
    if number == errno.EHOSTUNREACH:
        return Unreached(Why.NO_HOST, f"there is no way to {place}")
    return Unreached(Why.FAILED, f"{place} could not be connected to ({type(error).__name__})")
