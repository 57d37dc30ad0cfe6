"""Task and attempt identifiers."""

from __future__ import annotations

import os
import re
import time
import uuid

TASK_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def new_task_id() -> str:
    """Give a fresh UUIDv7 (RFC 9562, section 5.7): its first 48 bits are the Unix time in ms."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | (0x7 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    return str(uuid.UUID(int=value))


def attempt_id(task: str, number: int) -> str:
    """Name one attempt, so that a late result of another is never taken for it."""
    return f"{task}.{number}"


def new_token() -> str:
    """Give 128 fresh random bits as 32 hex digits (boots and nonces)."""
    return os.urandom(16).hex()
