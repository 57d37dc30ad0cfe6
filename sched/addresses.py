"""Where workers are dialled."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.python import usage
from zope.interface import implementer


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


def dialled(reactor: Any, address: str) -> Address:
    """Give the endpoint of a ``--worker`` address.

    Raises:
        UsageError: it is not of this machine, or not of its form.
    """
    kind, _, rest = address.partition(":")
    host = rest.rpartition(":")[0].strip("[]").replace("\\", "")
    try:
        here = kind == "unix" or (kind == "tcp" and ip_address(host).is_loopback)
    except ValueError:
        here = host == "localhost"
    if not here:
        raise usage.UsageError(
            f"--worker {address}: must be unix:PATH or tcp:127.0.0.1:PORT; links that leave this"
            " machine need TLS, which is not supported yet"
        )
    try:
        return Address(clientFromString(reactor, address), address)
    except (ValueError, TypeError, IndexError) as error:
        raise usage.UsageError(f"--worker {address}: {error}") from None
