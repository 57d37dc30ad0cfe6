"""A site on this machine's loopback, plain and with TLS, for what goes through the tasks' proxy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet import reactor as installed
from twisted.internet import ssl
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

reactor: Any = installed
NAME = "site.test"


class Echo(Resource):
    """Answers with what it was asked: method, URI, header fields, body."""

    isLeaf = True

    def render(self, request: Any) -> bytes:
        lines = [b"%b %b" % (request.method, request.uri)]
        for name, values in request.requestHeaders.getAllRawHeaders():
            lines += [b"%b: %b" % (name.lower(), value) for value in values]
        return b"\n".join([*sorted(lines), b"", request.content.read()])


@implementer(IHalfCloseableProtocol)
class Upgrading(Protocol):
    """As a websocket begins: a head, 101, then bytes both ways; says "bye" when no more come."""

    transport: Any

    def connectionMade(self) -> None:
        self._seen = b""

    def dataReceived(self, data: bytes) -> None:
        if b"\r\n\r\n" in self._seen:
            self.transport.write(data.upper())
            return
        self._seen += data
        if b"\r\n\r\n" in self._seen:
            self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")

    def readConnectionLost(self) -> None:
        self.transport.write(b"bye")
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass


def write_certificate(path: Path) -> None:
    """Write a key and its self-made certificate for the site's name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + certificate.public_bytes(Encoding.PEM))


class Sites:
    """The three of them, listening; each by its port."""

    def __init__(self, folder: Path) -> None:
        self.certificate = folder / "site.pem"
        write_certificate(self.certificate)
        pem = self.certificate.read_bytes()
        secure = ssl.PrivateCertificate.loadPEM(pem).options()
        self._ports = [
            reactor.listenTCP(0, Site(Echo()), interface="127.0.0.1"),
            reactor.listenSSL(0, Site(Echo()), secure, interface="127.0.0.1"),
            reactor.listenTCP(0, Factory.forProtocol(Upgrading), interface="127.0.0.1"),
        ]
        self.plain, self.secure, self.upgrading = (p.getHost().port for p in self._ports)

    @property
    def ports(self) -> tuple[int, int, int]:
        """All ports."""
        return self.plain, self.secure, self.upgrading

    async def stop(self) -> None:
        """Close them."""
        for port in self._ports:
            await port.stopListening()
