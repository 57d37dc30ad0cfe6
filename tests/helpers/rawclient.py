"""A raw client, and a watch over the scheduler's reactor and memory."""

from __future__ import annotations

import socket
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self
from urllib.parse import urlsplit

import psutil
import requests
from harness import System

MIB = 1024 * 1024


LAG_MS = 50.0


class Client:
    """A raw connection."""

    def __init__(self, runyard: System) -> None:
        parts = urlsplit(runyard.url)
        assert parts.hostname is not None
        self.socket = socket.create_connection((parts.hostname, parts.port or 0), timeout=30)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> tuple[int, bytes]:
        """Read to the end of the connection or of the first answer; give (status, everything)."""
        data = b""
        while b"\r\n\r\n" not in data or len(data) < _length(data):
            piece = self.socket.recv(65_536)
            if not piece:
                break
            data += piece
        assert data, "closed without a word"
        return int(data.split(b" ", 2)[1]), data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def _length(data: bytes) -> int:
    head, _, _ = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return len(head) + 4 + int(line.partition(b":")[2])
    return 1 << 62


class Watch:
    """Watches the scheduler's reactor and memory while something is done to it."""

    def __init__(self, runyard: System, seconds: float) -> None:
        self._process = psutil.Process(runyard.daemon.pid)
        self._before = self._process.memory_info().rss
        self._pool = ThreadPoolExecutor(1)
        self._lag: Future[requests.Response] = self._pool.submit(
            requests.get, f"{runyard.debug_url}/debug/lag", params={"wait": seconds}, timeout=60
        )

    def growth(self) -> int:
        return int(self._process.memory_info().rss) - int(self._before)

    def lag(self) -> float:
        worst: float = self._lag.result().json()["worst_own_ms"]
        self._pool.shutdown()
        return worst
