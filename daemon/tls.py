"""TLS between hosts: when a link needs it, both ends' options, what ties the proofs to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address as IPv6
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

BINDING_LABEL = b"EXPORTER-Channel-Binding"
"""RFC 9266's channel binding `tls-exporter`; its context is empty."""
BINDING_BYTES = 32
CERTIFICATE_DAYS = 3650


def is_loopback(host: str) -> bool:
    """Whether an IP address is this machine's own loopback, also one mapped into IPv6.

    Raises:
        ValueError: it is no IP address.
    """
    address = ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, IPv6) else None
    return (mapped or address).is_loopback


def is_local(peer: object) -> bool:
    """Whether a peer's address (Twisted's) is on this machine; an unknown kind is not."""
    if isinstance(peer, (IPv4Address, IPv6Address)):
        return is_loopback(peer.host)
    return isinstance(peer, UNIXAddress)


def _context() -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    # No session is resumed: each link has a handshake, and so a binding, of its own.
    context.set_options(SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    return context


def _certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "runyard worker")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .sign(key, SHA256())
    )


@implementer(IOpenSSLServerConnectionCreator)
class ServerOptions:
    """A worker's end: TLS 1.3 with a key and a certificate that live as long as this object."""

    def __init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self._context = _context()
        self._context.use_privatekey(key)
        self._context.use_certificate(_certificate(key))

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Make the OpenSSL side of a new connection."""
        return SSL.Connection(self._context, None)


@implementer(IOpenSSLClientConnectionCreator)
class ClientOptions:
    """A controller's end: TLS 1.3 to whoever answers.

    No certificate is verified: there is no authority that could vouch for a worker. Who the peer is
    is shown by the proofs alone, and they cover this very connection's `binding`: somebody who
    answers in the worker's place has two connections with two bindings, and no proof fits both.
    """

    def __init__(self) -> None:
        self._context = _context()
        self._context.set_verify(SSL.VERIFY_NONE)

    def clientConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Make the OpenSSL side of a new connection."""
        return SSL.Connection(self._context, None)


def is_tls(transport: object) -> bool:
    """Whether a transport is TLS."""
    return isinstance(transport, TLSMemoryBIOProtocol)


def binding(transport: Any) -> str:
    """Give what ties proofs to this connection: the TLS exporter's value, hex; "" for a plain one.

    It is there once the TLS handshake is complete: when the peer's first message has arrived.
    """
    if not is_tls(transport):
        return ""
    connection: SSL.Connection = transport.getHandle()
    return connection.export_keying_material(BINDING_LABEL, BINDING_BYTES, b"").hex()


def loss_text(reason: Failure) -> str:
    """Say why a connection was lost, in words also where TLS is the cause."""
    if not isinstance(reason.value, SSL.Error):
        return reason.getErrorMessage()
    errors = reason.value.args[0] if reason.value.args else None
    last = errors[-1][-1] if isinstance(errors, list) and errors else "it was cut"
    return f"TLS failed ({last}); perhaps only one side uses it"
