"""TCP without its two habits that make a control message wait."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import ITCPTransport

MOST_UNSENT = 128 * 1024
LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", None)


def make_prompt(transport: Any) -> None:
    """Have small messages leave at once, and few bytes wait before them; only TCP needs it.

    By itself the kernel holds a Result back until its Started is acknowledged, which may take
    40 ms, and takes megabytes of bulk for which the peer has no room, all before a later Cancel.
    """
    tcp: Any = ITCPTransport(transport, None)
    if tcp is None or not isinstance(tcp.getHost(), (IPv4Address, IPv6Address)):
        return  # Twisted's unix sockets call themselves TCP too
    tcp.setTcpNoDelay(True)
    below = getattr(tcp, "transport", tcp)  # of TLS, the TCP connection that carries it
    if LOWAT is not None:
        below.getHandle().setsockopt(socket.IPPROTO_TCP, LOWAT, MOST_UNSENT)
