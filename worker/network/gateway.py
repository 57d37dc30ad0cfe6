"""A worker's ways out: what its tasks may reach, and a proxy for each that may reach anything."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any

from runyard.worker.network.egress import Egress
from runyard.worker.network.kinds import Address, unmapped
from runyard.worker.network.policy import Allow, Policy
from runyard.worker.network.resolve import Look, Threads, look_up


def refused_of(hosts: Iterable[str]) -> frozenset[Address]:
    """Give the addresses that tasks are refused of schedulers': loopback is judged anyway. Pure."""
    found = (unmapped(ip_address(host.partition("%")[0])) for host in hosts)
    return frozenset(each for each in found if not each.is_loopback)


class Gateway:
    """Opens ways out.

    Args:
        allow: The operator's rules.
        fleet: Gives the addresses of the schedulers that are connected.
        look: Resolves a name, in a thread.
    """

    def __init__(
        self,
        reactor: Any,
        allow: tuple[Allow, ...] = (),
        fleet: Callable[[], Iterable[str]] = tuple,
        look: Look = look_up,
    ) -> None:
        self._reactor = reactor
        self._allow = allow
        self._fleet = fleet
        self._look = look
        self._threads: dict[int, Threads] = {}

    def open(self, slot: int, listening: socket.socket, attempt: str) -> Egress:
        """Serve a slot's task on a socket of its namespace, which is the Egress's from now on."""
        if slot not in self._threads:
            self._threads[slot] = Threads(self._reactor, self._look)
        policy = Policy(self._allow, lambda: refused_of(self._fleet()))
        resolver = self._threads[slot].share()
        egress = Egress(self._reactor, listening, policy, resolver, {"attempt": attempt})
        egress.start()
        return egress
