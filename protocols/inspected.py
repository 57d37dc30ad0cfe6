"""What a task's process told of its end: read from whoever wrote it, bounded, of known form.

The record describes an exception: ``type``, ``message``, ``line`` of the program, ``frames``
(innermost last: ``file``, ``line``, ``function``, ``source``, ``locals``), and what it was raised
from (``cause``, ``context``), made of (``exceptions``), or what ended threads beside it
(``threads``). A program can write such a record itself, so nothing is ever decided by it.
"""

from __future__ import annotations

import json
from typing import Any

MOST_BYTES = 32 * 1024
"""Of a record as JSON with ASCII only: it travels in a message's header line."""
MOST_QUOTED = 44 * 1024
"""Of the same as a string within a header line."""
MOST_FRAMES = 64
MOST_LOCALS = 32
MOST_TEXT = 512
MOST_PARTS = 8
MOST_DEPTH = 5
WHOLE = ("line", "frames_left_out", "lineno", "offset", "end_lineno", "end_offset")
TEXTS = ("type", "message", "filename", "text")
FRAME_TEXTS = ("file", "function", "source")

Record = dict[str, Any]


def read_record(text: str | bytes) -> Record | None:
    """Read a record from JSON; None where it is none, or larger than it may be."""
    if len(text) > MOST_BYTES:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return checked(value)


def write_record(record: Record | None, most: int = MOST_QUOTED) -> str:
    """Give a record as JSON; empty where there is none. What is too large loses its locals.

    `most` bounds it as a string within a header line.
    """
    if record is None:
        return ""
    short = {key: record[key] for key in ("type", "message", "line") if key in record}
    tries: list[Record] = [record, without_locals(record), short | {"frames": []}]
    for each in tries:
        text = json.dumps(each, separators=(",", ":"))
        if len(text) <= MOST_BYTES and len(json.dumps(text)) <= most:
            return text
    return ""


def checked(value: object, depth: int = MOST_DEPTH) -> Record | None:
    """Build a record anew from known keys of known types; None where it is none."""
    if not isinstance(value, dict) or depth <= 0:
        return None
    record: Record = {key: _text(value[key]) for key in TEXTS if isinstance(value.get(key), str)}
    record |= {key: value[key] for key in WHOLE if _is_whole(value.get(key))}
    frames = value.get("frames")
    if isinstance(frames, list):
        found = [_frame(each) for each in frames[-MOST_FRAMES:]]
        record["frames"] = [each for each in found if each is not None]
    for key in ("cause", "context"):
        inner = checked(value.get(key), depth - 1)
        if inner is not None:
            record[key] = inner
    for key in ("exceptions", "threads"):
        parts = value.get(key)
        if isinstance(parts, list):
            inners = [checked(each, depth - 1) for each in parts[:MOST_PARTS]]
            record[key] = [each for each in inners if each is not None]
    return record if "type" in record or record.get("threads") else None


def without_locals(record: Record) -> Record:
    """Give a record without the values of variables, which are for the debug server alone."""
    slim = dict(record)
    if "frames" in slim:
        slim["frames"] = [{k: v for k, v in f.items() if k != "locals"} for f in slim["frames"]]
    for key in ("cause", "context"):
        if key in slim:
            slim[key] = without_locals(slim[key])
    for key in ("exceptions", "threads"):
        if key in slim:
            slim[key] = [without_locals(each) for each in slim[key]]
    return slim


def _frame(value: object) -> Record | None:
    if not isinstance(value, dict) or not _is_whole(value.get("line")):
        return None
    frame: Record = {"line": value["line"]}
    for key in FRAME_TEXTS:
        text = value.get(key)
        frame[key] = _text(text) if isinstance(text, str) else ""
    variables = value.get("locals")
    if isinstance(variables, dict):
        items = list(variables.items())[:MOST_LOCALS]
        frame["locals"] = {_text(name): _text(v) for name, v in items if isinstance(v, str)}
    return frame


def _text(text: str) -> str:
    """Bound a text, and make it one that UTF-8 can carry."""
    return text[:MOST_TEXT].encode("utf-8", "replace").decode()


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31
