"""What twisted.web needs under the API: sizes bounded while they arrive, nothing decoded, no disk.

twisted.web would split a query at ``;``, parse forms by itself, write large bodies to temporary
files on the reactor's thread, invite any length with ``100 Continue`` and answer what is too large
with a bare 400 or a closed connection. Here every such case has its own answer.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.server import Request, Site

from runyard.sched.answers import Answer
from runyard.sched.errors import Kind, Refusal
from runyard.sched.pace import Pace

LINE_ENDS = 4

Gate = Callable[["BoundedRequest"], Answer | None]


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
    _request_line = 0
    _pace: Pace | None = None
    _lingering: IDelayedCall | None = None

    def __init__(self, limits: WebLimits, clock: IReactorTime, closed: Callable[[], None]) -> None:
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
            self.refuse(Kind.UNAVAILABLE, text)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes; the first of a request start its clock."""
        if self.refused:
            return
        if self._pace is None and not self._handlingRequest:
            self._pace = Pace(self._clock, self.limits.head, self._too_slow)
        if self._pace is not None:
            self._pace.took(len(data))
        super().dataReceived(data)

    def _too_slow(self, seconds: float) -> None:
        self.refuse(Kind.TOO_SLOW, f"it brought too little in {seconds:g} s")

    def allContentReceived(self) -> None:
        """A request is whole: its clock stops."""
        self._stop_pace()
        super().allContentReceived()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone."""
        self._stop_pace()
        if self._lingering is not None and self._lingering.active():
            self._lingering.cancel()
        super().connectionLost(reason)
        self._closed()

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
        elif self._receivedHeaderSize + len(line) - self._request_line > self.limits.headers:
            self._refuse_headers()
            return
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line is too long: the request line, or else a header."""
        if self._receivedHeaderSize:
            self._refuse_headers()
        else:
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

    def refuse(self, kind: Kind, detail: str) -> None:
        """Answer a request that is not read to its end, and close."""
        if self.refused:
            return
        self.refused = True
        self._stop_pace()
        self._transferDecoder = None
        body = Refusal(kind, detail).document()
        head = (
            f"HTTP/1.1 {kind.status} {kind.title}\r\nContent-Type: application/problem+json\r\n"
            f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self._linger()

    def _linger(self) -> None:
        """Close our side, and drop what still comes for a while.

        Closing at once would reset the connection of a client that is still sending, and take the
        answer away from it.
        """
        self.setTimeout(None)
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

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(Kind.MALFORMED, "it is not HTTP/1.1 as RFC 9112 has it")


class BoundedRequest(Request):
    """A request whose body is in memory and whose query and form are left as they came."""

    channel: Any
    content: Any
    query = b""

    def gotLength(self, length: int | None) -> None:
        """Keep the body in memory: it is bounded."""
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """Take a piece of the body; a chunked one is bounded here, as it arrives."""
        size = self.content.tell() + len(data)
        if size > self.channel.limits.body:
            self.channel.refuse_body(size)
        elif not self.channel.refused:
            self.content.write(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Split the path from the query, decode neither, and go on."""
        if self.channel.refused:
            return
        self.content.seek(0)
        self.method, self.uri, self.clientproto = command, path, version
        self.path, _, self.query = path.partition(b"?")
        self.args: dict[bytes, list[bytes]] = {}
        answer = self.channel.site.gate(self)
        if answer is None:
            self.process()
        else:
            self.respond(answer)

    def respond(self, answer: Answer) -> None:
        """Answer at once, before any routing."""
        self.setResponseCode(answer.status)
        for name, value in answer.all_headers():
            self.setHeader(name, value)
        self.write(answer.body)
        self.finish()


class BoundedSite(Site):
    """Serves an API: at most so many connections, each bounded, no access log.

    `gate` sees each request before it is routed and may answer it.
    """

    requestFactory = BoundedRequest
    displayTracebacks = False

    def __init__(
        self,
        resource: Any,
        reactor: Any,
        limits: WebLimits | None = None,
        gate: Gate = lambda request: None,
    ) -> None:
        self.limits = limits or WebLimits()
        self.gate = gate
        self.connections = 0
        super().__init__(resource, reactor=reactor, timeout=self.limits.idle)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make the channel of a new connection; one too many is answered and closed."""
        channel: Any = BoundedChannel(self.limits, self.reactor, self._closed)
        channel.factory = self
        channel.site = self
        channel.requestFactory = self.requestFactory
        channel.callLater = self.reactor.callLater
        channel.timeOut = self.timeOut
        self.connections += 1
        if self.connections > self.limits.connections:
            channel.full = True
        return channel

    def _closed(self) -> None:
        self.connections -= 1

    def log(self, request: Any) -> None:
        """Write nothing: on a busy server this would be most of the log."""
