"""SOCKS5 (RFC 1928) without authentication, and SOCKS4a: CONNECT alone. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from runyard.worker.network.dialects import Ask, Ended, Everything, Reply, Step
from runyard.worker.network.failures import Unreached
from runyard.worker.network.kinds import Address
from runyard.worker.network.targets import Target, read_host

_CONNECT = 1
_NO_AUTHENTICATION = 0
_NOT_ALLOWED = 2
_NOT_SUPPORTED = 7
_NO_SUCH_ADDRESS_TYPE = 8
_GENERAL_FAILURE = 1
_GRANTED_4 = b"\0\x5a" + bytes(6)
_REJECTED_4 = b"\0\x5b" + bytes(6)
MOST_SOCKS4 = 8 + 256 + 256


def _reply(code: int) -> bytes:
    """Write a SOCKS5 reply; the bound address in it is not told."""
    return bytes((5, code, 0, 1)) + bytes(6)


def _tunnel(host: Address | str, port: int, opened: bytes, rest: bytes) -> Ask:
    return Ask(Target(host, port), opened, b"", rest, Everything(), Everything())


class Socks5:
    """SOCKS version 5. Nothing is kept but a greeting or a question: 262 bytes at most."""

    def __init__(self) -> None:
        self._buffer = b""
        self._greeted = False

    def feed(self, data: bytes) -> Step:
        """Take bytes of the greeting, then of the request."""
        self._buffer += data
        if self._greeted:
            return self._request()
        if len(self._buffer) < 2 or len(self._buffer) < 2 + self._buffer[1]:
            return None
        end = 2 + self._buffer[1]
        methods, self._buffer = self._buffer[2:end], self._buffer[end:]
        if _NO_AUTHENTICATION not in methods:
            return Ended(b"\x05\xff")
        self._greeted = True
        return Reply(b"\x05\0", self._request())  # a client may have sent both at once

    def failed(self, error: Unreached) -> bytes:
        """Write the reply with the failure's code."""
        return _reply(error.why.code)

    def _request(self) -> Ask | Ended | None:
        asked = self._buffer
        if len(asked) < 5:
            return None
        if asked[0] != 5:
            return Ended(_reply(_GENERAL_FAILURE))
        if asked[1] != _CONNECT:
            return Ended(_reply(_NOT_SUPPORTED))
        lengths = {1: (4, 4), 3: (5, asked[4]), 4: (4, 16)}
        if asked[3] not in lengths:
            return Ended(_reply(_NO_SUCH_ADDRESS_TYPE))
        start, length = lengths[asked[3]]
        end = start + length
        return self._whole(start, end) if len(asked) >= end + 2 else None

    def _whole(self, start: int, end: int) -> Ask | Ended:
        asked = self._buffer
        port = int.from_bytes(asked[end : end + 2])
        try:
            host = _host(asked[3], asked[start:end])
        except ValueError:
            return Ended(_reply(_NOT_ALLOWED))
        if port == 0:
            return Ended(_reply(_NOT_ALLOWED))
        return _tunnel(host, port, _reply(0), asked[end + 2 :])


def _host(kind: int, raw: bytes) -> Address | str:
    if kind == 1:
        return IPv4Address(raw)
    if kind == 4:
        return IPv6Address(raw)
    return read_host(raw.decode("latin-1"))


class Socks4:
    """SOCKS version 4, with names (4a)."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Step:
        """Take bytes of the request."""
        self._buffer += data
        head, *texts = self._buffer[:8], *self._buffer[8:].split(b"\0", 2)
        named = len(head) == 8 and head[4:7] == bytes(3) and head[7] != 0
        if len(head) < 8 or len(texts) < (3 if named else 2):
            return Ended(_REJECTED_4) if len(self._buffer) > MOST_SOCKS4 else None
        port = int.from_bytes(head[2:4])
        rest = texts[2] if named else self._buffer[8 + len(texts[0]) + 1 :]
        try:
            host = read_host(texts[1].decode("latin-1")) if named else IPv4Address(head[4:8])
        except ValueError:
            return Ended(_REJECTED_4)
        if head[1] != _CONNECT or port == 0:
            return Ended(_REJECTED_4)
        return _tunnel(host, port, _GRANTED_4, rest)

    def failed(self, error: Unreached) -> bytes:
        """Write the one rejection that there is."""
        return _REJECTED_4
