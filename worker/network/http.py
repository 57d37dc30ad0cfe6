"""HTTP/1 as a proxy speaks it: CONNECT, and one request with an absolute URI a connection. Pure.

No Via field is added: the worker tells nobody that it is there.
"""

from __future__ import annotations

from runyard.worker.network.dialects import Ask, Ended, Everything, Filter, Step
from runyard.worker.network.failures import Unreached
from runyard.worker.network.framing import MOST_READ, Chunked, HeadBuffer, Malformed, Sized
from runyard.worker.network.heads import read_request, rewrite_answer

MOST_INTERIM = 8
"""Heads of 1xx before the one that counts: each costs its time, and a read may hold thousands."""
_CONTINUED = 200
_OPENED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def refusal(status: str, text: str) -> bytes:
    """Write an answer of the proxy's own, with its reason as a text."""
    body = f"runyard: {text}\n".encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


class Http:
    """Reads one request's head."""

    def __init__(self) -> None:
        self._buffer = HeadBuffer()

    def feed(self, data: bytes) -> Step:
        """Take bytes of the head."""
        try:
            found = self._buffer.feed(data)
            if found is None:
                return None
            request = read_request(found[0])
        except Malformed as error:
            return Ended(refusal(error.status, error.text))
        if request.head is None:
            return Ask(request.target, _OPENED, b"", found[1], Everything(), Everything())
        up: Filter = Chunked() if request.length is None else Sized(request.length)
        return Ask(request.target, b"", request.head, found[1], up, Answer(), tunnel=False)

    def failed(self, error: Unreached) -> bytes:
        """Say it in words."""
        return refusal(error.why.status, error.text)


class Answer:
    """Passes an answer: its head written anew, its body as it is, to the connection's end."""

    def __init__(self) -> None:
        self._buffer = HeadBuffer()
        self._interim = 0
        self.begun = False

    def feed(self, data: bytes) -> bytes:
        """Give what passes; some 1xx answers pass before the one that counts.

        Raises:
            Malformed: it is no HTTP/1, or has too many of them.
        """
        out = b""
        while not self.begun:
            found = self._buffer.feed(data)
            if found is None:
                return out
            status, head = rewrite_answer(found[0])
            out += head
            data = found[1]
            self.begun = status >= _CONTINUED
            self._interim += not self.begun
            if self._interim > MOST_INTERIM:
                raise Malformed(f"more than {MOST_INTERIM} answers of 1xx came", "502 Bad Gateway")
        return out + data

    def room(self) -> int:
        """Give how many bytes may come at once: there are few heads, and then a body."""
        return MOST_READ
