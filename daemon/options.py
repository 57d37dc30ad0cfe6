"""Conversions for command-line options: typed values or a UsageError that says what is allowed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.python import usage
from twisted.python.usage import UsageError

from runyard.daemon.exits import die


class OneLineOptions(usage.Options):
    """Options whose errors are one line on standard error, and a non-zero exit."""

    daemon = ""

    def parseOptions(self, options: Any = None) -> None:
        """Parse; twistd itself would print all of its help on standard output."""
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            die(self.daemon, f"{error} (twistd {self.daemon} --help lists the options)")


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
