"""Where workers are dialled: what ``--worker`` may say, and the endpoint of an address."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any

from attrs import evolve, frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
    wrapClientTLS,
)
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from runyard.daemon.tls import ClientOptions, is_loopback

CONNECT_S = 3.0
UNIX_PATH_BYTES = 107
FORMS = "unix:PATH, tcp:HOST:PORT or tls:HOST:PORT"
LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
NAME_CHARACTERS = 253


class AddressError(ValueError):
    """An address that no worker can have; its text says why."""


@frozen
class UnixPlace:
    """A worker's unix socket."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@frozen
class TcpPlace:
    """A worker's host and port.

    Attributes:
        host: An IP address, or a name.
        always_tls: Whether it is TLS even where the address is this machine's own loopback.
    """

    host: str
    port: int
    always_tls: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls' if self.always_tls else 'tcp'}:{host}:{self.port}"

    @property
    def named(self) -> bool:
        """Whether the host is a name, which has to be resolved."""
        return not is_ip(self.host)

    def at(self, ip: str) -> TcpPlace:
        """Give one of the addresses that the name has."""
        return evolve(self, host=ip)


Place = UnixPlace | TcpPlace


def is_ip(host: str) -> bool:
    """Whether it is an IP address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def can_be_dialled(ip: str) -> bool:
    """Whether a worker can be at an IP address."""
    address = ip_address(ip)
    return not (address.is_unspecified or address.is_multicast)


def parse(text: str) -> Place:
    """Read a ``--worker`` address.

    Raises:
        AddressError: no worker can be there.
    """
    kind, _, rest = text.partition(":")
    if kind == "unix":
        return _unix(rest)
    if kind not in ("tcp", "tls"):
        raise AddressError(f"must be {FORMS}")
    host, found, port = rest.rpartition(":")
    if not found:
        raise AddressError(f"must be {FORMS}; the port is missing")
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise AddressError(f"a port is 1 to 65535, not {port!r}")
    return TcpPlace(_host(host), int(port), kind == "tls")


def _unix(rest: str) -> UnixPlace:
    path = rest.replace("\\:", ":")
    if not path or "\0" in path:
        raise AddressError("a unix socket needs a path")
    if len(path.encode()) > UNIX_PATH_BYTES:
        raise AddressError(f"a unix socket's path has at most {UNIX_PATH_BYTES} bytes")
    return UnixPlace(path)


def _host(text: str) -> str:
    bare = text.replace("\\:", ":")
    bracketed = bare.startswith("[") and bare.endswith("]")
    host = bare[1:-1] if bracketed else bare
    if is_ip(host):
        if ":" in text and not bracketed and "\\" not in text:
            raise AddressError(f"an IPv6 address stands in brackets, as [{host}]")
        if not can_be_dialled(host):
            raise AddressError(f"no worker can be reached at {host}")
        return host
    if bracketed or not _is_name(host.removesuffix(".")):
        raise AddressError(f"{host!r} is neither an IP address nor a host's name")
    return host


def _is_name(host: str) -> bool:
    labels = host.split(".")
    # One that ends in a number can only be a misspelt IPv4 address.
    fit = len(host) <= NAME_CHARACTERS and all(LABEL.fullmatch(each) for each in labels)
    return fit and not labels[-1].isdecimal()


@implementer(IStreamClientEndpoint)
@frozen(repr=False)
class Address:
    """An endpoint that a log can name."""

    endpoint: IStreamClientEndpoint
    text: str

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Dial."""
        connecting: Deferred[IProtocol] = self.endpoint.connect(factory)
        return connecting

    def __repr__(self) -> str:
        return self.text


def dialled(reactor: Any, place: Place) -> Address:
    """Give the endpoint of a place whose host is no name; TLS if that is another machine."""
    if isinstance(place, UnixPlace):
        return Address(UNIXClientEndpoint(reactor, place.path), str(place))
    make = TCP6ClientEndpoint if ":" in place.host else TCP4ClientEndpoint
    endpoint: IStreamClientEndpoint = make(reactor, place.host, place.port, timeout=CONNECT_S)
    if place.always_tls or not is_loopback(place.host):
        endpoint = wrapClientTLS(ClientOptions(), endpoint, clock=reactor)
    return Address(endpoint, str(place))
