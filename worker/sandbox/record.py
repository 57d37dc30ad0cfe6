"""What a run of a worker makes outside of its own process, as lines of a file; pure.

``{"base": PATH, "kind": KIND}``, then ``{"path": PATH, "kind": KIND}`` for each below such a base.
"""

from __future__ import annotations

import json
import os
from typing import NamedTuple

KINDS = ("cgroup", "mount", "folder")
MAX_RECORD = 4 * 1024 * 1024
MAX_LINE = 16 * 1024


class Thing(NamedTuple):
    """What was, or was about to be, made: one of `KINDS` and an absolute path."""

    kind: str
    path: str


def line(key: str, kind: str, path: str) -> bytes | None:
    """Write one line, or None where `things` would not read it; `key` is ``base`` or ``path``."""
    text = json.dumps({key: path, "kind": kind}).encode()
    # A line of its own even where the one before was cut off by a full disk.
    return b"\n" + text + b"\n" if _read_line(text) is not None else None


def things(record: bytes) -> list[Thing]:
    """Read a record: each thing once, in order; a line that is not as we write it is passed over.

    A thing counts only below a base of its kind that is noted before it.
    """
    bases: list[Thing] = []
    found: dict[Thing, None] = {}
    for text in record.split(b"\n"):
        value = _read_line(text)
        if value is None:
            continue
        base, thing = value
        if thing is not None and any(
            thing.kind == each.kind and thing.path.startswith(each.path + "/") for each in bases
        ):
            found[thing] = None
        elif base is not None:
            bases.append(base)
    return list(found)


def _read_line(text: bytes) -> tuple[Thing | None, Thing | None] | None:
    """Give (base, None) or (None, thing) of a line, or None where it is neither."""
    if not 0 < len(text) <= MAX_LINE:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.get("kind") not in KINDS:
        return None
    for key in ("base", "path"):
        path = value.get(key)
        if set(value) == {key, "kind"} and isinstance(path, str) and _plain(path):
            thing = Thing(value["kind"], path)
            return (thing, None) if key == "base" else (None, thing)
    return None


def _plain(path: str) -> bool:
    """Tell whether a path is absolute, has no detours, and is not the root of everything."""
    return (
        path.startswith("/")
        and path != "/"
        and not path.startswith("//")  # which normpath lets be
        and "\0" not in path
        and os.path.normpath(path) == path
    )
