"""Decoding of queries and forms: pure, strict, and never a byte of code lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal
from urllib.parse import unquote_to_bytes

from runyard.protocols.limits import CODE_BYTES, KIB
from runyard.sched.errors import Kind, Refusal, malformed

Encoding = Literal["auto", "once", "twice"]

MOST_FIELDS = 64
MOST_NAME = 1 * KIB
MOST_OPTION = 64 * KIB
SLICE = 64 * KIB
"""Decoding takes some 80 bytes for each escape of what it decodes at once."""

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ONLY_ENCODED = re.compile(r"(?:[A-Za-z0-9_.~+-]|%[0-9A-Fa-f]{2})*")


def parse_pairs(raw: bytes, where: str) -> dict[str, bytes]:
    """Split ``a=1&b=2`` into decoded fields; ``&`` alone separates, ``;`` is data.

    Raises:
        Refusal: an escape is broken, a name is not UTF-8, a field comes twice with other content,
            or there are too many.
    """
    fields: dict[str, bytes] = {}
    count = raw.count(b"&") + 1  # before any splitting: 32 MiB of '&' would be gigabytes of pieces
    if count > MOST_FIELDS:
        raise malformed(where, f"{count} fields", f"at most {MOST_FIELDS} fields")
    for piece in raw.split(b"&"):
        raw_name, _, raw_value = piece.partition(b"=")
        if not piece:
            continue
        if len(raw_name) > MOST_NAME:
            raise malformed(where, raw_name, f"names of at most {MOST_NAME} bytes")
        name = text_of(_decode(raw_name, where), f"a name in the {where}")
        bound_field(name, len(raw_value), 3)
        value = _decode(raw_value, name)
        if fields.setdefault(name, value) != value:
            raise malformed(name, "two different values", "one value")
    return fields


def bound_field(name: str, size: int, encoded: int = 1) -> None:
    """Bound a field before it is decoded; `encoded` is how many bytes one may be written as.

    Raises:
        Refusal: it is larger than any value of it may be.
    """
    most = encoded * CODE_BYTES if name == "code" else MOST_OPTION
    if size > most:
        text = f"{name[:80]}: {size} bytes, at most {most} are allowed as they are sent"
        raise Refusal(Kind.TOO_LARGE, text)


def _decode(raw: bytes, name: str) -> bytes:
    pieces = []
    for start, piece in _slices(raw):
        broken = _BAD_ESCAPE.search(piece)
        if broken is not None:
            at = broken.start()
            text = f"'%' must begin an escape of two hex digits (at byte {start + at})"
            raise malformed(name, piece[at : at + 3], text)
        pieces.append(unquote_to_bytes(piece.replace(b"+", b" ")))
    return b"".join(pieces)


def _slices(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Cut so that no escape is parted."""
    start = 0
    while start < len(raw):
        end = start + SLICE
        if end < len(raw):
            escape = raw.rfind(b"%", end - 2, end)
            end = end if escape < 0 else escape
        yield start, raw[start:end]
        start = end


def text_of(raw: bytes, name: str) -> str:
    """Decode UTF-8.

    Raises:
        Refusal: it is not UTF-8.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        bad = raw[error.start : error.start + 4]
        raise malformed(name, bad, f"must be UTF-8 (byte {error.start} is not)") from None


def decode_code(once: bytes, encoding: Encoding) -> bytes:
    """Undo the second `quote_plus` of a client that encodes twice.

    After the standard decode, code that holds only what `quote_plus` leaves (letters, digits,
    ``_.~-``), ``+`` and whole escapes is decoded once more. Real programs hold a space, a newline,
    a bracket or a quote, none of which `quote_plus` leaves; `encoding` overrides the rule.
    """
    if encoding == "once":
        return once
    try:
        text = once.decode("ascii")
    except UnicodeDecodeError:
        text = None
    whole = text is not None and _ONLY_ENCODED.fullmatch(text) is not None
    if encoding == "twice":
        if not whole:
            raise malformed("code", "characters that quote_plus encodes", "a value encoded twice")
        return _decode(once, "code")
    if whole:
        return _decode(once, "code")
    return once
