"""One connection that sends given bytes in given pieces, and a strict reader of what comes back."""

from __future__ import annotations

import re
import selectors
import socket
import struct
import time
from random import Random

from attrs import define, field, frozen
from byte_corpus import Request, spoil

DEADLINE_S = 30.0
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
ENDINGS = ("answer", "answer", "answer", "wait", "half", "half", "reset", "reset", "close")
ANSWER = re.compile(
    rb"HTTP/1\.[01] ([1-5][0-9][0-9]) [\t -~]*\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)*)\r\n"
)
LENGTH = re.compile(rb"(?im)^content-length:[ \t]*([0-9]+)[ \t]*\r$")


class Broken(Exception):
    """What came is no HTTP."""


@frozen
class Plan:
    """What to send, in which pieces, and what to do then.

    Attributes:
        pieces: What is really sent; less than the whole where the ending comes in between.
        ending: `answer` closes after an answer, `wait` leaves closing to the server, `half` closes
            its own side, `reset` and `close` do not even look.
        status: The status of the first answer, where the request was left valid.
    """

    key: str
    pieces: tuple[bytes, ...]
    ending: str
    status: int | None = None

    may_be_head: bool = False

    @property
    def sent(self) -> bytes:
        return b"".join(self.pieces)


def plan(seed: int, key: str, requests: list[Request]) -> Plan:
    """Make the plan of one connection, the same for the same seed and key."""
    rng = Random(f"{seed}/{key}")
    request = rng.choice(requests)
    valid = rng.random() < 0.1
    data = request.data if valid else spoil(rng, request.data, requests)
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice((0, 0, 1, 3, 30))))
    bounds = zip([0, *cuts], [*cuts, len(data)], strict=True)
    pieces = tuple(data[start:end] for start, end in bounds)
    ending = rng.choice(ENDINGS)
    if ending in ("reset", "close"):
        pieces = pieces[: rng.randint(1, len(pieces))]
    return Plan(key, pieces, ending, request.status if valid else None, b"HEAD" in data)


@define
class Exchange:
    """A plan under way. `end` tells how it ended: `eof`, `broken off` by the server, `ours`."""

    plan: Plan
    socket: socket.socket
    began: float = field(factory=time.monotonic)
    active: float = field(factory=time.monotonic)
    received: bytearray = field(factory=bytearray)
    end: str = ""
    _unsent: list[bytes] = field(init=False)
    _sending: bool = True

    def __attrs_post_init__(self) -> None:
        self._unsent = list(self.plan.pieces)

    @classmethod
    def start(cls, plan: Plan, address: tuple[str, int]) -> Exchange:
        connection = socket.create_connection(address, timeout=DEADLINE_S)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(plan, connection)

    @property
    def events(self) -> int:
        """What to wait for."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._sending else 0)

    def step(self, mask: int) -> None:
        """Go on as far as is possible without waiting; with 0, look at the clock alone."""
        if mask:
            self.active = time.monotonic()
        if mask & selectors.EVENT_READ:
            self._read()
        if mask & selectors.EVENT_WRITE and self._sending and not self.end:
            self._write()
        if not self.end and time.monotonic() - self.active > DEADLINE_S:
            self._close("late")

    def _write(self) -> None:
        try:
            while self._unsent and not self._unsent[0]:
                self._unsent.pop(0)
            if self._unsent:
                sent = self.socket.send(self._unsent[0])
                self._unsent[0] = self._unsent[0][sent:]
                return
        except (BrokenPipeError, ConnectionResetError):
            self._sending = False  # what it has to say can still be read
            return
        self._sending = False
        if self.plan.ending == "half":
            self.socket.shutdown(socket.SHUT_WR)
        elif self.plan.ending == "reset":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self._close("ours")
        elif self.plan.ending == "close":
            self._close("ours")

    def _read(self) -> None:
        try:
            data = self.socket.recv(65_536)
        except ConnectionResetError:
            self._close("broken off")
            return
        self.received += data
        if not data:
            self._close("eof")
        elif self.plan.ending == "answer" and self._answered():
            self._close("ours")

    def _answered(self) -> bool:
        try:
            statuses, rest = self.answers()
        except Broken:
            return True
        return not rest and any(status >= 200 for status in statuses)

    def _close(self, end: str) -> None:
        self.end = end
        self.socket.close()

    def answers(self) -> tuple[list[int], bytes]:
        """Give the statuses of the whole answers, and what is left.

        Raises:
            Broken: it is no HTTP.
        """
        return read_answers(bytes(self.received), may_be_head=self.plan.may_be_head)

    def complaint(self) -> str | None:
        """Say what is wrong with how it went, or None."""
        if self.end == "late":
            return f"neither a whole answer nor an end within {DEADLINE_S:g} s"
        try:
            statuses, rest = self.answers()
        except Broken as error:
            return str(error)
        if rest and self.end in ("eof", "broken off") and self.plan.ending != "half":
            return "the answer is cut short"  # who closes its own side has hung up, and may lose it
        bad = [status for status in statuses if status >= 500 and status != 503]
        if bad:
            return f"status {bad[0]}"
        expected = self.plan.status
        if expected is None or self.plan.ending not in ("answer", "wait"):
            return None
        final = [status for status in statuses if status >= 200]
        return (
            None if final[:1] == [expected] else f"{statuses} for a valid request, not {expected}"
        )

    def __str__(self) -> str:
        sent = self.plan.sent
        shown = repr(sent) if len(sent) < 4000 else f"{sent[:2000]!r} ... {sent[-500:]!r}"
        return (
            f"case {self.plan.key}: {len(sent)} bytes in {len(self.plan.pieces)} pieces, then"
            f" {self.plan.ending}:\n{shown}\nit ended by {self.end!r} after"
            f" {time.monotonic() - self.began:.1f} s with\n{bytes(self.received[:2000])!r}"
        )


def read_answers(data: bytes, *, may_be_head: bool) -> tuple[list[int], bytes]:
    """Read HTTP answers one after the other; an answer to HEAD has a length and no body.

    Raises:
        Broken: it is no HTTP.
    """
    statuses: list[int] = []
    at = 0
    while at < len(data):
        found = ANSWER.match(data, at)
        if found is None:
            if b"\r\n\r\n" in data[at:] or not b"HTTP/1.".startswith(data[at : at + 7]):
                raise Broken(f"no HTTP answer: {data[at : at + 200]!r}")
            break
        status = int(found[1])
        lengths = LENGTH.findall(found[2])
        if status >= 200 and len(lengths) != 1:
            raise Broken(f"an answer without one length: {data[at : at + 400]!r}")
        end = found.end() + (int(lengths[0]) if status >= 200 else 0)
        bodiless = may_be_head and data[found.end() : found.end() + 7] in (b"", b"HTTP/1.")
        if end > len(data) and not bodiless:
            break
        statuses.append(status)
        at = found.end() if bodiless else end
    return statuses, data[at:]
