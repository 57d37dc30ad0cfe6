"""Conversions for command-line options: typed values or a UsageError that says what is allowed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from twisted.python.usage import UsageError


def whole(name: str, low: int, high: int) -> Callable[[str], int]:
    """Make a converter to a whole number in a range."""

    def convert(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"--{name} must be a whole number, {low} to {high}, not {text!r}")
        return int(text)

    return convert


def seconds(name: str, low: float, high: float) -> Callable[[str], float]:
    """Make a converter to seconds in a range."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise ValueError(f"--{name} must be seconds, {low:g} to {high:g}, not {text!r}")
        return value

    return convert


def task_files(folder: str | None) -> tuple[tuple[str, str], ...]:
    """List an operator's task files as (name, absolute path).

    Raises:
        UsageError: the folder cannot be listed.
    """
    if folder is None:
        return ()
    root = Path(os.path.abspath(folder))
    try:
        return tuple(sorted((entry.name, str(entry)) for entry in root.iterdir()))
    except OSError as error:
        raise UsageError(f"--task-files {folder}: {error.strerror}") from None
