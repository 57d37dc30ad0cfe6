"""JSON in and out: strict, with the place of a fault, and never long without letting others run."""

from __future__ import annotations

import json
import json.scanner
import re
from collections.abc import Callable
from typing import Any, NoReturn

from runyard.sched.decoding import text_of
from runyard.sched.errors import malformed, shown

LARGE_BYTES = 64 * 1024
"""JSON above this is read and written in a thread."""

MOST_VALUES = 20_000
MOST_DIGITS = 400
MOST_NAMES = 1024
"""Names in one object: what `env` may hold."""

SLICE = 256 * 1024
_LONG_NUMBER = re.compile(rf"-?[0-9]{{{MOST_DIGITS + 1}}}")

Scan = Callable[[str, int], tuple[Any, int]]


def parse_json(body: bytes) -> Any:
    """Parse strict JSON: no NaN, no name twice in an object, UTF-8, a bounded number of values.

    Large bodies are scanned by the standard library's Python scanner, which gives other threads
    their turn, where the one in C would hold the interpreter for as long as it takes.

    Raises:
        Refusal: with the line and the column of the fault.
    """
    text = text_of(body, "body")
    try:
        return _decoder(len(body)).decode(text)
    except json.JSONDecodeError as error:
        got = shown(text[error.pos : error.pos + 20]) if error.pos < len(text) else "the end"
        where = f"line {error.lineno}, column {error.colno}"
        raise malformed("body", f"{got} at {where}", f"JSON ({error.msg} at {where})") from None
    except (RecursionError, ValueError):
        raise malformed("body", "deep nesting or a huge number", "a plain JSON object") from None


def _decoder(body_size: int) -> json.JSONDecoder:
    decoder: Any = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_constant)
    if body_size <= LARGE_BYTES:
        return decoder  # type: ignore[no-any-return]
    scanner: Any = json.scanner
    parse_array, parse_object = decoder.parse_array, decoder.parse_object
    values = 0

    def counting(scan: Scan) -> Scan:
        def once(text: str, at: int) -> tuple[Any, int]:
            nonlocal values
            values += 1
            if values > MOST_VALUES:
                raise malformed("body", "more", f"at most {MOST_VALUES} values in a large body")
            if _LONG_NUMBER.match(text, at):
                raise malformed("body", "more", f"numbers of at most {MOST_DIGITS} digits")
            return scan(text, at)

        return once

    decoder.parse_array = lambda at, scan: parse_array(at, counting(scan))
    decoder.parse_object = lambda at, strict, scan, *hooks: parse_object(
        at, strict, counting(scan), *hooks
    )
    decoder.scan_once = counting(scanner.py_make_scanner(decoder))
    return decoder  # type: ignore[no-any-return]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_NAMES:
        raise malformed("body", f"{len(pairs)} names", f"at most {MOST_NAMES} names in one object")
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise malformed(name[:80], "the name twice in one object", "each name once")
        found[name] = value
    return found


def _constant(name: str) -> NoReturn:
    raise malformed("body", name, "finite numbers: JSON has no NaN and no Infinity")


def dump_json(document: dict[str, Any]) -> bytes:
    """Give a document as JSON in UTF-8; long texts go in slices, so that others may run."""
    members = (_encode(name) + b": " + _value(value) for name, value in document.items())
    return b"{" + b", ".join(members) + b"}\n"


def _value(value: Any) -> bytes:
    if not isinstance(value, str) or len(value) <= SLICE:
        return _encode(value)
    pieces = (value[at : at + SLICE] for at in range(0, len(value), SLICE))
    return b'"' + b"".join(_encode(piece)[1:-1] for piece in pieces) + b'"'


def _encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")
