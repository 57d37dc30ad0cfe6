"""Bytes of HTTP/1 put into heads and bodies as they come, nothing kept that is not needed. Pure.

Our own, as nothing at hand fits: twisted.web's server keeps whole bodies, its parsers are private
and read what they should refuse, and h11 is no dependency. It is little, since a proxy that closes
after one request need not understand an answer's body at all.
"""

from __future__ import annotations

import re

MOST_HEAD = 64 * 1024
MOST_LINE = 1024
"""The longest line of a chunk's size, with its extensions."""
MOST_READ = 64 * 1024
"""Bytes that are read at a time where passing them on costs little, as Twisted does."""
LEAST_READ = 1024
"""Bytes that are read at a time where they may be lines, each of which costs its time.

A turn of the reactor reads once from each connection. 64 KiB of the smallest chunks take 17 ms,
so the 64 connections of one task would hold the reactor for a second, each turn.
"""

_BARE_LF = re.compile(rb"(?<!\r)\n")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")


class Malformed(Exception):
    """What came is no HTTP that we pass on; the text says why."""

    def __init__(self, text: str, status: str = "400 Bad Request") -> None:
        super().__init__(text)
        self.text = text
        self.status = status


class HeadBuffer:
    """Collects a head, to its empty line, within 64 KiB."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Take bytes; give the head without its empty line, and what follows, once it is whole.

        Raises:
            Malformed: it is too long, or has a line that ends in a bare line feed.
        """
        looked = max(0, len(self._buffer) - 3)
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n", looked)
        bare = _BARE_LF.search(self._buffer, looked, MOST_HEAD if end < 0 else end)
        if bare is not None:
            raise Malformed("a line of the head ends in a bare line feed")
        if end > MOST_HEAD or (end < 0 and len(self._buffer) > MOST_HEAD):
            raise Malformed(
                f"the head is longer than {MOST_HEAD} bytes", "431 Request Header Fields Too Large"
            )
        if end < 0:
            return None
        head, rest = bytes(self._buffer[:end]), bytes(self._buffer[end + 4 :])
        self._buffer.clear()
        return head, rest


class Sized:
    """A body of a known length: that much passes, what comes behind it does not."""

    def __init__(self, length: int) -> None:
        self._left = length

    def feed(self, data: bytes) -> bytes:
        """Give what of it passes on."""
        passed = data[: self._left]
        self._left -= len(passed)
        return passed

    def room(self) -> int:
        """Give how many bytes may come at once: what is counted alone costs little."""
        return MOST_READ


class Chunked:
    """A body in chunks, checked and written anew: no extensions, no trailers, nothing behind it."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._left = 0  # of the chunk, with the line end behind it
        self._trailers: int | None = None  # bytes of them, once the last chunk was seen
        self._over = False

    def feed(self, data: bytes) -> bytes:
        """Give what of it passes on.

        Raises:
            Malformed: it is no chunked coding.
        """
        out = bytearray()
        at = 0
        while at < len(data) and not self._over:
            if self._left > 2:
                piece = data[at : at + self._left - 2]
                self._left -= len(piece)
                out += piece
                at += len(piece)
                continue
            end = data.find(b"\n", at)
            stop = len(data) if end < 0 else end + 1
            self._line += data[at:stop]
            at = stop
            if len(self._line) > MOST_LINE:
                raise Malformed(f"a line between chunks is longer than {MOST_LINE} bytes")
            if end >= 0:
                out += self._whole_line()
        return bytes(out)

    def room(self) -> int:
        """Give how many bytes may come at once: the rest of a chunk, or a few lines."""
        return max(LEAST_READ, min(MOST_READ, self._left))

    def _whole_line(self) -> bytes:
        line = bytes(self._line)
        self._line.clear()
        if not line.endswith(b"\r\n"):
            raise Malformed("a line between chunks ends in a bare line feed")
        line = line[:-2]
        if self._trailers is not None:
            return self._trailer(line)
        if self._left == 2:
            self._left = 0
            if line:
                raise Malformed("a chunk is longer than its size says")
            return b"\r\n"
        return self._size(line)

    def _size(self, line: bytes) -> bytes:
        found = _SIZE.fullmatch(line)
        if found is None:
            raise Malformed("a chunk's size is no hexadecimal number")
        size = int(found[1], 16)
        if size == 0:
            self._trailers = 0
            return b""
        self._left = size + 2
        return b"%x\r\n" % size

    def _trailer(self, line: bytes) -> bytes:
        if not line:
            self._over = True
            return b"0\r\n\r\n"
        self._trailers = (self._trailers or 0) + len(line)
        if self._trailers > MOST_HEAD or not _TRAILER.fullmatch(line):
            raise Malformed("what follows the last chunk is no trailer")
        return b""
