"""JSON values in a few words, for messages: pure."""

from __future__ import annotations

import json
from typing import Any

MOST = 60


def brief(value: Any) -> str:
    """Show a value, or what kind of value it is where it is long."""
    if isinstance(value, dict):
        return f"an object of {len(value)}" if value else "an empty object"
    if isinstance(value, list):
        return f"an array of {len(value)}" if value else "an empty array"
    if isinstance(value, str):
        cut = value if len(value) <= MOST else value[: MOST - 1] + "…"
        return json.dumps(cut, ensure_ascii=False)
    if isinstance(value, int) and abs(value) >= 10**MOST:
        return "a number of many digits"
    return json.dumps(value)
