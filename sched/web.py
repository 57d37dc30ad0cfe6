"""What twisted.web needs under the API: sizes bounded while they arrive, nothing decoded, no disk.

twisted.web would split a query at ``;``, parse forms by itself, write large bodies to temporary
files on the reactor's thread, and route what it has decoded. Here what is compared is what came.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from io import BytesIO
from typing import Any, AnyStr

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.web.server import Request, Site

from runyard.sched.answers import Answer, answer_refusal
from runyard.sched.channel import BoundedChannel, WebLimits
from runyard.sched.heads import refuse_head, split_file

__all__ = ["BoundedRequest", "BoundedSite", "Gate", "WebLimits"]

Gate = Callable[["BoundedRequest"], Answer | None]


class BoundedRequest(Request):
    """A request whose body is in memory and whose query and form are left as they came.

    Attributes:
        rest: What its path names below a task's files, as it came; its `path` ends before that.
    """

    channel: Any
    content: Any
    query = b""
    rest = b""

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
        path, _, self.query = path.partition(b"?")
        self.path, self.rest = split_file(path)
        self.args: dict[bytes, list[bytes]] = {}
        refusal = refuse_head(self.path, self.requestHeaders.getRawHeaders(b"host") or [])
        if refusal is not None:
            answer = answer_refusal(refusal, as_text=False)
        else:
            answer = self.channel.site.gate(self)
        if answer is None:
            self.process()
        else:
            self.respond(answer)

    def getHeader(self, key: AnyStr) -> AnyStr | None:
        """Give a header's last value; bytes that are not ASCII never make this raise."""
        name = key.encode() if isinstance(key, str) else key
        values = self.requestHeaders.getRawHeaders(name)
        if not values:
            return None
        return values[-1].decode("latin-1") if isinstance(key, str) else values[-1]

    def respond(self, answer: Answer) -> None:
        """Answer at once, before any routing."""
        self.setResponseCode(answer.status, HTTPStatus(answer.status).phrase.encode())
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
        self._channels: set[BoundedChannel] = set()
        self._draining = False
        self._waiting: list[Deferred[None]] = []
        super().__init__(resource, reactor=reactor, timeout=self.limits.idle)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._channels)

    def when_answered(self) -> Deferred[None]:
        """Drain: close what is idle, let what is asked be answered; fires when all is sent.

        A client that does not read its answer keeps this waiting: bound it.
        """
        quiet: Deferred[None] = Deferred()
        self._waiting.append(quiet)
        begun, self._draining = self._draining, True
        for channel in () if begun else tuple(self._channels):
            channel.drain()
        self._fire_when_quiet()
        return quiet

    def _fire_when_quiet(self) -> None:
        if self._channels:
            return
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:
                each.callback(None)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Make the channel of a new connection; one too many is answered and closed."""
        if self._draining:
            return None
        channel: Any = BoundedChannel(self.limits, self.reactor, self._closed)
        channel.factory = self
        channel.site = self
        channel.requestFactory = self.requestFactory
        channel.callLater = self.reactor.callLater
        channel.timeOut = self.timeOut
        self._channels.add(channel)
        channel.full = self.connections > self.limits.connections
        return channel

    def _closed(self, channel: BoundedChannel) -> None:
        self._channels.discard(channel)
        self._fire_when_quiet()

    def log(self, request: Any) -> None:
        """Write nothing: on a busy server this would be most of the log."""
