"""Where something is in a JSON value: ``$.image_urls[3]``, ``$["a name"].x``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

MOST_PATH = 200
MOST_NAME = 80
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def path_of(parts: Iterable[str | int]) -> str:
    """Write a path; names and the whole are cut, with an ellipsis, where they are long."""
    text = "$"
    for part in parts:
        text += _step(part)
        if len(text) > MOST_PATH:
            return text[: MOST_PATH - 1] + "…"
    return text


def _step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    if len(part) > MOST_NAME:
        part = part[: MOST_NAME - 1] + "…"
    if PLAIN.fullmatch(part):
        return f".{part}"
    quoted = json.dumps(part, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
    return f"[{quoted}]"
