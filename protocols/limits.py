"""The limits of a task: names, units, defaults, maxima."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs
from attrs import frozen

KIB = 1024
MIB = 1024 * KIB

CODE_BYTES = 1 * MIB
STDIN_BYTES = 16 * MIB
FILES_BYTES = 16 * MIB
ARGS_ENV_BYTES = 64 * KIB


@frozen
class Range:
    """A limit's default and maximum; whole says whether only whole numbers are allowed."""

    default: float
    maximum: float
    whole: bool
    minimum: float = 1


RANGES: dict[str, Range] = {
    "wall_s": Range(10, 300, whole=False, minimum=0.01),
    "cpu_s": Range(10, 300, whole=False, minimum=0.01),
    "memory_bytes": Range(256 * MIB, 1024 * MIB, whole=True, minimum=16 * MIB),
    "processes": Range(64, 256, whole=True),
    "output_bytes": Range(1 * MIB, 16 * MIB, whole=True),
    "file_bytes": Range(16 * MIB, 64 * MIB, whole=True),
    "disk_bytes": Range(64 * MIB, 256 * MIB, whole=True),
}


@frozen
class Limits:
    """What one task may use: seconds, bytes, and processes with threads counted."""

    wall_s: float = RANGES["wall_s"].default
    cpu_s: float = RANGES["cpu_s"].default
    memory_bytes: int = int(RANGES["memory_bytes"].default)
    processes: int = int(RANGES["processes"].default)
    output_bytes: int = int(RANGES["output_bytes"].default)
    file_bytes: int = int(RANGES["file_bytes"].default)
    disk_bytes: int = int(RANGES["disk_bytes"].default)


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def complaint(name: str, value: object, ranges: Mapping[str, Range] = RANGES) -> str | None:
    """Say what is wrong with one limit's value, or None.

    Zero, negative, NaN, infinite and absurd values are refused: none of them means "no limit".
    """
    allowed = ranges.get(name)
    if allowed is None:
        return f"unknown limit; known are {', '.join(ranges)}"
    span = f"{_plain(allowed.minimum)} to {_plain(allowed.maximum)}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"must be a number, {span}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"must be a finite number, {span}"
    if allowed.whole and value != int(value):
        return f"must be a whole number, {span}"
    if not allowed.minimum <= value <= allowed.maximum:
        return f"must be {span}"
    return None


def limits_from(values: dict[str, Any]) -> Limits:
    """Build Limits from plain values.

    Raises:
        ValueError: a name or a value is not allowed; the text says which.
    """
    for name, value in values.items():
        wrong = complaint(name, value)
        if wrong is not None:
            raise ValueError(f"limits.{name}: {wrong}")
    typed = {k: int(v) if RANGES[k].whole else float(v) for k, v in values.items()}
    return Limits(**typed)  # type: ignore[arg-type]


def limits_document(limits: Limits) -> dict[str, float]:
    """Give the limits as a plain mapping, as they travel and as documents show them."""
    return attrs.asdict(limits)
