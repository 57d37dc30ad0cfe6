"""What an output must be: the `format` of a request as a value, or what is wrong with it: pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

from attrs import frozen

from runyard.protocols.limits import KIB
from runyard.protocols.schemas import SchemaRefused, check_shape

BUILTIN = ("json", "json_lines", "text", "comic_home", "comic_episodes", "comic_images")
"""The formats that every worker has."""

SCHEMA = "schema"
"""The name of a format whose schema came with its request; no operator's may be called so."""

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}")
SCHEMA_BYTES = 64 * KIB
REQUEST_SCHEMA_BYTES = 24 * KIB
"""Of a schema that comes with a request: it travels in a header line."""
SCHEMA_DEPTH = 64
MOST_SHOWN = 80


class FormatRefused(ValueError):
    """A request's `format` cannot be used.

    Attributes:
        field: Where the fault is: ``format``, or ``format.schema`` and the path below it.
        got: What was there, short.
        allowed: What may be there.
    """

    def __init__(self, field: str, got: str, allowed: str) -> None:
        super().__init__(f"{field}: got {got}; {allowed}")
        self.field = field
        self.got = got
        self.allowed = allowed


@frozen
class Format:
    """What a task's whole standard output must be.

    Attributes:
        name: A built-in's or an operator's, or ``schema`` for one that came with the request.
        schema: The JSON Schema as JSON text; None for a built-in, and for an operator's whose text
            only the worker holds.
    """

    name: str
    schema: str | None = None

    @property
    def size(self) -> int:
        """What it holds in bytes, about."""
        return len(self.name) + len(self.schema or "")


def format_of(value: object, known: Collection[str] = BUILTIN) -> Format:
    """Read a request's `format`: a name, or ``{"schema": {...}}`` as it was parsed.

    The schema is checked as far as that is quick whatever it holds: its size, its depth, the shape
    of each keyword, and that no reference leads out of it. Each takes a time that grows with the
    size alone, so a server's main thread may do it. The rest is checked where outputs are.

    Raises:
        FormatRefused: which part is wrong, and what is allowed.
    """
    if isinstance(value, str):
        if value not in known:
            raise FormatRefused("format", _shown(value), f"must be one of {', '.join(known)}")
        return Format(value)
    if not isinstance(value, dict) or set(value) != {"schema"}:
        allowed = 'must be a name, or an object {"schema": {...}} with no other field'
        raise FormatRefused("format", _shown(value), allowed)
    return Format(SCHEMA, schema_text(value["schema"], REQUEST_SCHEMA_BYTES))


def schema_text(schema: object, most: int = SCHEMA_BYTES) -> str:
    """Give a parsed schema as JSON text of at most so many bytes, checked as `format_of` says.

    Raises:
        FormatRefused: which part is wrong, and what is allowed.
    """
    if not isinstance(schema, dict):
        raise FormatRefused("format.schema", _shown(schema), "must be an object")
    _bound(schema, most)
    try:
        check_shape(schema)
    except SchemaRefused as error:
        where = error.path.removeprefix("$")
        raise FormatRefused(f"format.schema{where}", _shown(error.got), error.allowed) from None
    try:
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except ValueError:
        allowed = "must hold finite numbers and whole Unicode characters only"
        raise FormatRefused("format.schema", "something else", allowed) from None
    if size > most:
        raise _too_large(size, most)
    return text


def _bound(schema: dict[str, Any], most: int) -> None:
    """Bound depth and size before anything else is done: without recursion, ended at the bound."""
    size = 0
    waiting: list[tuple[object, int]] = [(schema, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > SCHEMA_DEPTH:
            allowed = f"must not nest deeper than {SCHEMA_DEPTH} levels"
            raise FormatRefused("format.schema", "more", allowed)
        size += len(value) if isinstance(value, str) else 1
        if isinstance(value, dict):
            size += sum(len(name) + 3 for name in value)
            waiting.extend((member, depth + 1) for member in value.values())
        elif isinstance(value, list):
            waiting.extend((member, depth + 1) for member in value)
        if size > most:
            raise _too_large(size, most)


def _too_large(size: int, most: int) -> FormatRefused:
    allowed = f"must be at most {most} bytes of JSON"
    return FormatRefused("format.schema", f"{size} bytes or more", allowed)


def _shown(value: object) -> str:
    if isinstance(value, (dict, list)):
        kind = "an object" if isinstance(value, dict) else "an array"
        return f"{kind} of {len(value)}"
    text = json.dumps(value if not isinstance(value, str) else value[:MOST_SHOWN])
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…"
