"""The receiving side of a link: messages put together again, all sizes checked first."""

from __future__ import annotations

import json
from typing import Any

from attrs import define, field

from runyard.protocols.errors import ProtocolError
from runyard.protocols.messages import Message
from runyard.protocols.outbox import FRAME, MAX_STREAMS
from runyard.protocols.verbs import (
    BEFORE_PROOF,
    PAYLOADS,
    check_sizes,
    decode,
    known_in,
)


@define
class _Partial:
    header: dict[str, Any]
    sizes: list[int]
    number: int | None = None
    body: bytearray = field(factory=bytearray)

    @property
    def missing(self) -> int:
        return sum(self.sizes) - len(self.body)

    def message(self) -> Message:
        payloads, start = [], 0
        for size in self.sizes:
            payloads.append(bytes(memoryview(self.body)[start : start + size]))
            start += size
        try:
            return decode(self.header, payloads)
        except RecursionError:  # a field that is wrong is shown, and may be nested deeply
            raise ProtocolError(f"{self.header['verb']} is malformed: nested too deeply") from None


def _read(line: bytes) -> Any:
    """Read strict JSON: by itself the library takes UTF-16 too, NaN, and halves of characters.

    Raises:
        ValueError: it is not UTF-8 or not JSON.
        RecursionError: it is nested too deeply.
    """
    value = json.loads(line.decode(), parse_constant=_no_number)
    if b"\\u" in line:
        json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate has no UTF-8
    return value


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


class Inbox:
    """Turns headers and raw bytes into messages, for one direction of one link.

    Attributes:
        expected: How many raw bytes follow now; 0 means that a header line comes next.
        version: The version of the protocol that is spoken; verbs of a later one are unknown.
    """

    def __init__(self, allowed: frozenset[str]) -> None:
        self.expected = 0
        self.proven = False
        self.version = 1
        self._allowed = allowed
        self._streams: dict[int, _Partial] = {}
        self._filling: _Partial | None = None

    def line(self, line: bytes) -> Message | None:
        """Take a header line; give the message if it is whole with it.

        Raises:
            ProtocolError: the peer broke the protocol.
        """
        header = self._parse(line)
        verb = header["verb"]
        if verb == "Data":
            self._frame(header)
            return None
        sizes = check_sizes(verb, header.get("payload", []))
        partial = _Partial(header, sizes)
        if "stream" in header and sum(PAYLOADS[verb].values()) > FRAME:
            self._open(header["stream"], partial)
            return None
        if sum(sizes) > FRAME:
            raise ProtocolError(f"{verb}: {sum(sizes)} bytes of payload need a stream")
        if not partial.missing:
            return partial.message()
        self._filling = partial
        self.expected = partial.missing
        return None

    def raw(self, data: bytes) -> tuple[Message | None, bytes]:
        """Take raw bytes; give the message if they complete one, and what is left of them."""
        filling = self._filling
        if filling is None:
            raise ProtocolError("raw bytes that no header announced")
        taken, rest = data[: self.expected], data[self.expected :]
        filling.body += taken
        self.expected -= len(taken)
        if self.expected or filling.missing:
            return None, rest
        done, self._filling = filling, None
        if done.number is not None:
            del self._streams[done.number]
        return done.message(), rest

    def _parse(self, line: bytes) -> dict[str, Any]:
        try:
            header = _read(line)
        except (ValueError, RecursionError):
            raise ProtocolError("a header line must be one JSON object in UTF-8") from None
        if not isinstance(header, dict) or not isinstance(header.get("verb"), str):
            raise ProtocolError("a header line must be one JSON object with a verb")
        verb = header["verb"]
        if verb != "Data" and not known_in(self.version, verb):
            raise ProtocolError(f"unknown verb {verb[:32]!r}")
        if not self.proven and verb not in BEFORE_PROOF:
            raise ProtocolError(f"{verb} before the proofs")
        if verb not in self._allowed and verb != "Data":
            raise ProtocolError(f"{verb} is not this side's to send")
        return header

    def _open(self, number: Any, partial: _Partial) -> None:
        if not _is_whole(number) or number in self._streams:
            raise ProtocolError("a stream needs a new whole number")
        if len(self._streams) >= MAX_STREAMS or not partial.missing:
            raise ProtocolError(f"at most {MAX_STREAMS} streams at a time, none of them empty")
        partial.number = number
        self._streams[number] = partial

    def _frame(self, header: dict[str, Any]) -> None:
        number: Any = header.get("stream")
        partial = self._streams.get(number) if _is_whole(number) else None
        if partial is None:
            raise ProtocolError("Data for a stream that is not open")
        sizes = header.get("payload")
        if not isinstance(sizes, list) or len(sizes) != 1 or not _is_whole(sizes[0]):
            raise ProtocolError("Data has one payload")
        if not 1 <= sizes[0] <= min(FRAME, partial.missing):
            raise ProtocolError(f"Data must be 1 to {FRAME} bytes and no more than was announced")
        self._filling = partial
        self.expected = sizes[0]
