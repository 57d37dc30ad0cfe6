"""The sending side of a link: control lines at once, bulk in frames between them."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from attrs import define
from twisted.internet.interfaces import IConsumer, IPushProducer
from zope.interface import implementer

from runyard.protocols.messages import Message
from runyard.protocols.verbs import PAYLOADS, encode

FRAME = 64 * 1024
MAX_STREAMS = 4


def _frames(payloads: list[bytes]) -> Iterator[memoryview]:
    """Cut payloads into frames without copying them."""
    for payload in payloads:
        view = memoryview(payload)
        for start in range(0, len(view), FRAME):
            yield view[start : start + FRAME]


@define
class _Stream:
    number: int
    header: dict[str, Any] | None
    frames: Iterator[memoryview]
    left: int


@implementer(IPushProducer)
class Outbox:
    """Writes messages to a transport and is the producer of its write side.

    A message whose payloads exceed one frame travels as its header with a ``stream`` number, then
    as ``Data`` frames; up to four streams take turns, and control lines go between their frames, so
    a ``Cancel`` waits behind at most what the transport already holds. While the peer does not
    read, smaller payloads wait their turn in the same way.

    Attributes:
        held: Bytes of control messages that were written while the peer did not read.
        bulk: Bytes of payloads that wait their turn.
    """

    def __init__(
        self, transport: Any, max_header: int, changed: Callable[[], None] = lambda: None
    ) -> None:
        self._transport = transport
        self._changed = changed
        self._max_header = max_header
        self._streams: deque[_Stream] = deque()
        self._waiting: deque[_Stream] = deque()
        self.held = 0
        self.bulk = 0
        self._numbers = 0
        self._pauses = 0
        self._paused = False
        self._stopped = False
        consumer = IConsumer(transport, None)
        if consumer is not None:
            consumer.registerProducer(self, True)

    @property
    def busy(self) -> bool:
        """Whether the peer reads slower than we write."""
        return self._paused

    @property
    def blocked(self) -> int:
        """0 while the peer reads; else the number of the present stop, each has its own."""
        return self._pauses if self._paused else 0

    def send(self, message: Message) -> None:
        """Write a message, or queue it as a stream.

        Raises:
            ValueError: its header or a payload is larger than the protocol allows.
        """
        header, payloads = encode(message)
        if payloads:
            header["payload"] = [len(p) for p in payloads]
        size = sum(len(p) for p in payloads)
        may_stream = sum(PAYLOADS[message.verb].values()) > FRAME
        if size <= FRAME and not (size and may_stream and self._paused):
            parts = [self._line(header), *payloads]
            if self._paused:
                self.held += sum(len(part) for part in parts)
            self._write(*parts)
            return
        self._numbers += 1
        header["stream"] = self._numbers
        self._line(header)
        self.bulk += size
        self._waiting.append(_Stream(self._numbers, header, _frames(payloads), size))
        self._pump()

    def _line(self, header: dict[str, Any]) -> bytes:
        line = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        if len(line) > self._max_header:
            raise ValueError(f"{header['verb']}: header of {len(line)} of {self._max_header} bytes")
        return line + b"\n"

    def _write(self, *parts: bytes | memoryview) -> None:
        if not self._stopped:
            self._transport.write(b"".join(parts))

    def _pump(self) -> None:
        while not (self._paused or self._stopped):
            while self._waiting and len(self._streams) < MAX_STREAMS:
                self._streams.append(self._waiting.popleft())
            if not self._streams:
                return
            stream = self._streams.popleft()
            self._advance(stream)
            if stream.left:
                self._streams.append(stream)

    def _advance(self, stream: _Stream) -> None:
        if stream.header is not None:
            self._write(self._line(stream.header))
            stream.header = None
            return
        piece = next(stream.frames)
        stream.left -= len(piece)
        self.bulk -= len(piece)
        header = {"verb": "Data", "stream": stream.number, "payload": [len(piece)]}
        self._write(self._line(header), piece)

    def pauseProducing(self) -> None:
        """Stop sending bulk: the transport's buffer is full, which it says again at each write."""
        if self._paused:
            return
        self._paused = True
        self._pauses += 1
        self._changed()

    def resumeProducing(self) -> None:
        """Send on."""
        self._paused = False
        self.held = 0
        self._pump()
        if not self._paused:
            self._changed()

    def stopProducing(self) -> None:
        """Forget what was not sent: the connection is gone."""
        self._stopped = True
        self._streams.clear()
        self._waiting.clear()
        self.bulk = 0
