"""Where a task wants to go: a host and a port, read strictly. Pure."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from attrs import frozen

from runyard.worker.network.kinds import Address

MOST_NAME = 253
MOST_PORT = 65535
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PLAIN_PORT = re.compile(r"[0-9]{1,5}")


@frozen
class Target:
    """A host, which is an address or a name (in small letters, no dot at its end), and a port."""

    host: Address | str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if isinstance(self.host, IPv6Address) else self.host
        return f"{host}:{self.port}"


def read_host(text: str) -> Address | str:
    """Read an address or a host name; an IPv6 address with brackets or without.

    What ends in a number without being a plain IPv4 address (`127.1`, `0x7f.1`, `2130706433`,
    `0177.0.0.1`) is no host name: resolvers would make an address of it.

    Raises:
        ValueError: it is neither; the text says what it is.
    """
    if text.startswith("[") and text.endswith("]"):
        return _address_6(text[1:-1])
    if ":" in text or "%" in text:
        return _address_6(text)
    try:
        return IPv4Address(text)
    except AddressValueError:
        return _name(text)


def read_port(text: str) -> int:
    """Read a port.

    Raises:
        ValueError: it is not 1 to 65535.
    """
    if not _PLAIN_PORT.fullmatch(text) or not 1 <= int(text) <= MOST_PORT:
        raise ValueError(f"the port {shown(text)} is not 1 to {MOST_PORT}")
    return int(text)


def split_port(text: str) -> tuple[str, str | None]:
    """Split `HOST`, `HOST:PORT`, `[V6]`, `[V6]:PORT` or a bare IPv6 address into host and port."""
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{shown(text)} is no address in brackets")
        return host + "]", rest[1:] if rest else None
    if text.count(":") > 1:
        return text, None
    host, colon, port = text.partition(":")
    return host, port if colon else None


def shown(text: str) -> str:
    """Show what came, shortened, with nothing in it that could break a line."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")


def _address_6(text: str) -> IPv6Address:
    if "%" in text:
        raise ValueError(f"{shown(text)} has a zone; tasks reach public addresses only")
    try:
        return IPv6Address(text)
    except AddressValueError:
        raise ValueError(f"{shown(text)} is no IPv6 address") from None


def _name(text: str) -> str:
    name = text.lower().removesuffix(".") if text.isascii() else ""
    labels = name.split(".")
    if len(name) > MOST_NAME or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(f"{shown(text)} is no valid host name")
    if _NUMBER.fullmatch(labels[-1]):
        raise ValueError(f"{shown(text)} is no valid host name and no plain IPv4 address")
    return name
