"""One connection of a client: bounded in size and time while its requests arrive.

twisted.web would invite any length with ``100 Continue`` and answer what is too large with a bare
400 or a closed connection. Here every such case has its own answer.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from runyard.sched.answers import answer_refusal
from runyard.sched.errors import Kind, Refusal
from runyard.sched.heads import plain_length
from runyard.sched.pace import Pace

LINE_ENDS = 4
PLAIN = b"GET /execute"
"""How a request begins whose refusals are plain text: its caller parses whatever it gets."""


@frozen
class WebLimits:
    """Bounds of requests in bytes, of clients in seconds and in number.

    Attributes:
        head: Seconds from the first byte of a request to the end of its headers.
        rate: Bytes a second that a body must bring, looked at over each `pace` seconds.
        idle: Seconds that a kept connection may say nothing.
        linger: Seconds in which what follows a refused request is dropped before we hang up.
    """

    request_line: int = 256 * 1024
    headers: int = 64 * 1024
    body: int = 32 * 1024 * 1024
    connections: int = 1000
    idle: float = 60.0
    head: float = 20.0
    pace: float = 10.0
    rate: int = 1024
    linger: float = 10.0


class BoundedChannel(HTTPChannel):
    """One connection of a client, with the limits of its site."""

    transport: Any
    refused = False
    full = False
    """Whether it is one connection too many."""
    _request_line = 0
    _begins = b""
    _pace: Pace | None = None
    _lingering: IDelayedCall | None = None
    _resuming: IDelayedCall | None = None

    def __init__(
        self, limits: WebLimits, clock: IReactorTime, closed: Callable[[Any], None]
    ) -> None:
        super().__init__()
        self.limits = limits
        self.MAX_LENGTH = limits.request_line + LINE_ENDS
        self.totalHeadersSize = limits.request_line + limits.headers
        self._clock = clock
        self._closed = closed

    def connectionMade(self) -> None:
        """Begin, or say that there are too many connections."""
        super().connectionMade()
        if self.full:
            text = f"{self.limits.connections} connections are open, the most allowed"
            self.refuse(Kind.UNAVAILABLE, text, linger=False)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes; the first of a request start its clock."""
        if self.refused:
            return
        if self._pace is None and not self._handlingRequest:
            self._pace = Pace(self._clock, self.limits.head, self._too_slow)
        if self._pace is not None:
            self._pace.took(len(data))
        super().dataReceived(data)

    def requestDone(self, request: Any) -> None:
        """An answer is made; what the client has sent behind it waits for the reactor's next turn.

        One delivery may hold thousands of small requests, and others want their turn between them.
        """
        self.paused = True
        super().requestDone(request)
        if self._buffer and self.persistent:
            self._resuming = self._clock.callLater(0, self._go_on)
        else:
            self.paused = False

    def _go_on(self) -> None:
        self.paused = False
        self.dataReceived(b"")

    def _too_slow(self, seconds: float) -> None:
        self.refuse(Kind.TOO_SLOW, f"it brought too little in {seconds:g} s")

    def allContentReceived(self) -> None:
        """A request is whole: its clock stops."""
        self._stop_pace()
        super().allContentReceived()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone."""
        self._stop_pace()
        for call in (self._lingering, self._resuming):
            if call is not None and call.active():
                call.cancel()
        super().connectionLost(reason)
        self._closed(self)

    def _stop_pace(self) -> None:
        if self._pace is not None:
            self._pace.stop()
            self._pace = None

    def lineReceived(self, line: bytes) -> None:
        """Take a line of the request's head, within the bounds of its kind."""
        if self.refused:
            return
        if not self._receivedHeaderSize:
            self._request_line = len(line)
            self._begins = line[: len(PLAIN)]
        elif self._receivedHeaderSize + len(line) - self._request_line > self.limits.headers:
            self._refuse_headers()
            return
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line is too long: the request line, or else a header."""
        if self._receivedHeaderSize:
            self._refuse_headers()
        else:
            self._begins = line[: len(PLAIN)]
            text = f"it may hold {self.limits.request_line} bytes; longer programs go by POST"
            self.refuse(Kind.URI_TOO_LONG, text)

    def _refuse_headers(self) -> None:
        text = f"all headers together may hold {self.limits.headers} bytes"
        self.refuse(Kind.HEADERS_TOO_LARGE, text)

    def allHeadersReceived(self) -> None:
        """Refuse a body by its announced length, before the client is told to send it."""
        if self.length is not None and self.length > self.limits.body:
            self.refuse_body(self.length)
            return
        if self._pace is not None:
            self._pace.expect(self.limits.pace, self.limits.rate)
        super().allHeadersReceived()

    def refuse_body(self, size: int) -> None:
        """Answer 413."""
        self.refuse(
            Kind.TOO_LARGE, f"{size} bytes came or were announced, at most {self.limits.body} may"
        )

    def drain(self) -> None:
        """End: at once when nothing is asked, else with the answer that is being made."""
        if self._handlingRequest and self.requests:
            self.persistent = 0
            self.requests[0].responseHeaders.setRawHeaders(b"Connection", [b"close"])
        elif self._pace is not None:
            self.refuse(Kind.UNAVAILABLE, "the scheduler is stopping", linger=False)
        else:
            self.loseConnection()

    def refuse(self, kind: Kind, detail: str, *, linger: bool = True) -> None:
        """Answer a request that is not read to its end, and close."""
        if self.refused:
            return
        self.refused = True
        self._stop_pace()
        self._transferDecoder = None
        answer = answer_refusal(Refusal(kind, detail), as_text=self._begins == PLAIN)
        headers = [*answer.all_headers(), ("Connection", "close")]
        if kind is Kind.UNAVAILABLE:
            headers.append(("Retry-After", "5"))
        status = f"HTTP/1.1 {kind.status} {HTTPStatus(kind.status).phrase}\r\n"
        head = status + "".join(f"{name}: {value}\r\n" for name, value in headers)
        self.transport.write(head.encode() + b"\r\n" + answer.body)
        self.setTimeout(None)
        if linger:
            self._linger()
        else:
            self.loseConnection()

    def _linger(self) -> None:
        """Close our side, and drop what still comes for a while.

        Closing at once would reset the connection of a client that is still sending, and take the
        answer away from it.
        """
        half_close = getattr(self.transport, "loseWriteConnection", None)
        if half_close is None:
            self.loseConnection()
            return
        half_close()
        self._lingering = self._clock.callLater(self.limits.linger, self.forceAbortClient)

    def rawDataReceived(self, data: bytes) -> None:
        """Take bytes of a body; what follows a refusal is not kept."""
        if not self.refused:
            super().rawDataReceived(data)

    def _maybeChooseTransferDecoder(self, header: bytes, data: bytes) -> bool:
        """Bound the digits of a length: Python's `int` refuses very many by an exception."""
        if header == b"Content-Length" and data.isdigit():
            digits = plain_length(data)
            if digits is None:
                text = f"a length of {len(data)} digits came, at most {self.limits.body} bytes may"
                self.refuse(Kind.TOO_LARGE, text)
                return False
            data = digits
        chosen: bool = super()._maybeChooseTransferDecoder(header, data)
        return chosen

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(
            Kind.MALFORMED,
            "it is not HTTP/1.1 as RFC 9112 has it; a URL holds"
            " ASCII only, anything else as %XX (curl: -G --data-urlencode)",
        )
