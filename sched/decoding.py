"""Decoding of queries and forms: pure, strict, and never a byte of code lost."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import unquote_to_bytes

from runyard.sched.errors import malformed

Encoding = Literal["auto", "once", "twice"]

MOST_FIELDS = 64
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ONLY_ENCODED = re.compile(r"(?:[A-Za-z0-9_.~+-]|%[0-9A-Fa-f]{2})*")


def parse_pairs(raw: bytes, where: str) -> dict[str, bytes]:
    """Split ``a=1&b=2`` into decoded fields; ``&`` alone separates, ``;`` is data.

    Raises:
        Refusal: an escape is broken, a name is not UTF-8, a field comes twice with other content,
            or there are too many.
    """
    fields: dict[str, bytes] = {}
    pieces = [piece for piece in raw.split(b"&") if piece]
    if len(pieces) > MOST_FIELDS:
        raise malformed(where, f"{len(pieces)} fields", f"at most {MOST_FIELDS} fields")
    for piece in pieces:
        raw_name, _, raw_value = piece.partition(b"=")
        name = text_of(_decode(raw_name, where), f"a name in the {where}")
        value = _decode(raw_value, name)
        if fields.setdefault(name, value) != value:
            raise malformed(name, "two different values", "one value")
    return fields


def _decode(raw: bytes, name: str) -> bytes:
    broken = _BAD_ESCAPE.search(raw)
    if broken is not None:
        at = broken.start()
        raise malformed(
            name, raw[at : at + 3], f"'%' must begin an escape of two hex digits (at byte {at})"
        )
    return unquote_to_bytes(raw.replace(b"+", b" "))


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
        return unquote_to_bytes(once.replace(b"+", b" "))
    if whole:
        return unquote_to_bytes(once.replace(b"+", b" "))
    return once
