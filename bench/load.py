"""A light load generator: kept connections in one thread, every answer checked."""

from __future__ import annotations

import itertools
import os
import re
import selectors
import socket
import time
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

PATIENCE_S = 60.0
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

_serial = itertools.count()


@dataclass
class Measured:
    """What a phase gave: milliseconds of each request, seconds of the whole, wrong answers.

    Attributes:
        example: The first wrong answer.
    """

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0
    wrong: int = 0
    example: bytes = b""

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        """Give the latency that so many percent of the requests did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


class Connection:
    """A kept connection with one request under way."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)
        self._host = parts.netloc
        self._expected = b""
        self._data = bytearray()
        self._began = 0.0
        self.socket = self._connect()

    def _connect(self) -> socket.socket:
        sock = socket.create_connection(self._address, PATIENCE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def ask(self) -> None:
        """Send a program whose answer no other request has."""
        token = f"runyard-{os.getpid()}-{next(_serial)}"
        self._expected = f"{token}\n".encode()
        code = quote(f"print('{token}')", safe="")
        self._data.clear()
        self._began = time.perf_counter()
        head = f"GET /execute?code={code} HTTP/1.1\r\nHost: {self._host}\r\n\r\n"
        self.socket.sendall(head.encode())

    def take(self, measured: Measured) -> bool:
        """Read what came; whether the answer is whole. A connection that ended counts as wrong."""
        piece = self.socket.recv(64 * 1024)
        self._data += piece
        status, body = self._answer()
        if piece and body is None:
            return False
        measured.latencies.append((time.perf_counter() - self._began) * 1000)
        if status != b"200" or body != self._expected:
            measured.wrong += 1
            measured.example = measured.example or bytes(self._data)
        return True

    def _answer(self) -> tuple[bytes, bytes | None]:
        head, end, body = bytes(self._data).partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        whole = end and length is not None and len(body) >= int(length[1])
        return head[9:12], body if whole else None

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


def drive(url: str, clients: int, requests: int) -> Measured:
    """Send so many requests over so many connections, one at a time on each."""
    measured = Measured()
    connections = [Connection(url) for _ in range(min(clients, requests))]
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        began = time.perf_counter()
        for connection in connections:
            connection.ask()
        asked = len(connections)
        while len(measured.latencies) < requests:
            ready = selector.select(PATIENCE_S)
            if not ready:
                raise TimeoutError(f"{url}: nothing came for {PATIENCE_S:g} s")
            for key, _ in ready:
                if not key.data.take(measured):
                    continue
                if asked < requests:
                    asked += 1
                    key.data.ask()
                else:
                    selector.unregister(key.fileobj)
        measured.seconds = time.perf_counter() - began
    for connection in connections:
        connection.close()
    return measured
