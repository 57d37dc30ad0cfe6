"""Which addresses tasks may reach: public ones, and what the operator's rules add. Pure."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_network

from attrs import frozen

from runyard.worker.network.kinds import Address, Network, kind_of, unmapped
from runyard.worker.network.targets import Target, read_host, read_port, shown, split_port

SPAM_PORTS = frozenset({25})
ONLY_PUBLIC = "tasks reach public addresses only"


@frozen
class Allow:
    """One rule of `--network-allow`: a name with its port, or a network with a port or without.

    It holds for the name as a task says it, whatever that resolves to; a network holds for
    addresses, also where a name resolves to them.
    """

    what: Network | str
    port: int | None

    def covers(self, target: Target, address: Address) -> bool:
        """Whether it opens this address for who asked for this target."""
        if self.port is not None and self.port != target.port:
            return False
        if isinstance(self.what, str):
            return self.what == target.host
        return address.version == self.what.version and address in self.what

    @property
    def pointed(self) -> bool:
        """Whether it means one place: it names a port, or its network is a single address."""
        return self.port is not None or (
            not isinstance(self.what, str) and self.what.num_addresses == 1
        )


@frozen
class Policy:
    """What tasks may reach.

    Attributes:
        allow: The operator's rules.
        refused: Gives addresses that are refused though they may be public: those of this fleet. It
            is asked each time, as a scheduler may link while a task runs.
        refused_ports: Ports that only a rule that names them opens.
    """

    allow: tuple[Allow, ...] = ()
    refused: Callable[[], frozenset[Address]] = frozenset
    refused_ports: frozenset[int] = SPAM_PORTS

    def refuses(self, target: Target, address: Address, *, own: bool = False) -> str | None:
        """Say why an address that a target stands for is not reached; None where it may be.

        Args:
            target: What the task asked for.
            address: One that it stands for.
            own: Whether the address is one of this machine's. Such a one, and one of `refused`, is
                opened only by a rule that names its port or the single address.
        """
        address = unmapped(address)
        rules = [rule for rule in self.allow if rule.covers(target, address)]
        ours = own or address in self.refused()
        if ours:
            rules = [rule for rule in rules if rule.pointed]
        if target.port in self.refused_ports and all(rule.port is None for rule in rules):
            return f"port {target.port} is not open to tasks"
        if rules:
            return None
        kind = kind_of(address) or ("an address of runyard's own" if ours else None)
        return None if kind is None else f"{_is(target, address)} {kind}; {ONLY_PUBLIC}"


def _is(target: Target, address: Address) -> str:
    if isinstance(target.host, str):
        return f"{target.host} resolves to {address}, which is"
    return f"{target.host} is"


def parse_allow(text: str) -> Allow:
    """Read a rule: `HOST:PORT`, `ADDRESS[:PORT]` or `CIDR[:PORT]`; IPv6 with a port in brackets.

    Raises:
        ValueError: it is none of these; the text says what is wrong and what is allowed.
    """
    try:
        return _parse(text)
    except ValueError as error:
        raise ValueError(
            f"{error}; a rule is HOST:PORT, ADDRESS[:PORT] or CIDR[:PORT],"
            " with IPv6 in brackets where a port follows"
        ) from None


def _parse(text: str) -> Allow:
    host, port_text = split_port(text)
    port = None if port_text is None else read_port(port_text)
    if "/" in host:
        return Allow(_network(host.strip("[]")), port)
    what = read_host(host)
    if isinstance(what, (IPv4Address, IPv6Address)):
        return Allow(ip_network(unmapped(what)), port)
    if port is None:
        raise ValueError(f"the name {what} needs a port")
    return Allow(what, port)


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"{shown(text)} is no network ({error})") from None
