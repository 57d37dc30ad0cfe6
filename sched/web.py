"""What twisted.web needs under the API: sizes bounded while they arrive, nothing decoded, no disk.

twisted.web would split a query at ``;``, parse forms by itself, write large bodies to temporary
files on the reactor's thread, invite any length with ``100 Continue`` and answer what is too large
with a bare 400 or a closed connection. Here every such case has its own answer.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from runyard.sched.errors import Kind, Refusal
from twisted.internet.interfaces import IAddress
from twisted.web.http import HTTPChannel
from twisted.web.server import Request, Site

REQUEST_LINE = 256 * 1024
HEADERS = 64 * 1024
BODY = 32 * 1024 * 1024
IDLE_S = 60.0


class BoundedChannel(HTTPChannel):
    """One connection of a client, with the limits of the design."""

    MAX_LENGTH = REQUEST_LINE
    totalHeadersSize = REQUEST_LINE + HEADERS
    transport: Any
    refused = False
    _request_line = 0

    def lineReceived(self, line: bytes) -> None:
        """Take a line of the request's head, within the bounds of its kind."""
        if self.refused:
            return
        if not self._receivedHeaderSize:
            self._request_line = len(line)
        elif self._receivedHeaderSize + len(line) - self._request_line > HEADERS:
            self.refuse(Kind.HEADERS_TOO_LARGE, f"all headers together may hold {HEADERS} bytes")
            return
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line is too long: the request line, or else a header."""
        if self._receivedHeaderSize:
            self.refuse(Kind.HEADERS_TOO_LARGE, f"all headers together may hold {HEADERS} bytes")
        else:
            text = f"it may hold {REQUEST_LINE} bytes; longer programs go by POST"
            self.refuse(Kind.URI_TOO_LONG, text)

    def allHeadersReceived(self) -> None:
        """Refuse a body by its announced length, before the client is told to send it."""
        if self.length is not None and self.length > BODY:
            self.refuse_body(self.length)
            return
        super().allHeadersReceived()

    def refuse_body(self, size: int) -> None:
        """Answer 413."""
        self.refuse(Kind.TOO_LARGE, f"{size} bytes came or were announced, at most {BODY} may")

    def refuse(self, kind: Kind, detail: str) -> None:
        """Answer a request that is not read to its end, and close."""
        if self.refused:
            return
        self.refused = True
        self._transferDecoder = None
        body = Refusal(kind, detail).document()
        head = (
            f"HTTP/1.1 {kind.status} {kind.title}\r\nContent-Type: application/problem+json\r\n"
            f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.loseConnection()

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
        if size > BODY:
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
        self.process()


class BoundedSite(Site):
    """Serves an API without an access log line a request."""

    requestFactory = BoundedRequest
    displayTracebacks = False

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make the channel of a new connection."""
        channel: Any = BoundedChannel()
        channel.factory = self
        channel.site = self
        channel.requestFactory = self.requestFactory
        channel.callLater = self.reactor.callLater
        channel.timeOut = self.timeOut
        return channel

    def log(self, request: Any) -> None:
        """Write nothing: on a busy server this would be most of the log."""
