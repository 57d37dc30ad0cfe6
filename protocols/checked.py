"""What a format check found, as it travels and as documents show it."""

from __future__ import annotations

import json
from typing import Any

from attrs import frozen

MOST_PROBLEMS = 20
MOST_TEXT = 200
MOST_MORE = 1000
"""Problems beyond the listed ones are counted up to this many, which then means "or more"."""

MOST_BYTES = 12 * 1024
"""Of its JSON text, which travels in a message's header line."""


@frozen
class Checked:
    """A check of an output.

    Attributes:
        name: The format's name.
        ok: Whether the output is of the format.
        problems: JSON path and sentence of each, at most 20.
        more: How many others there are; 1000 means 1000 or more.
        failed: Why the check did not come to an end, or None; then nothing is known of the output.
    """

    name: str
    ok: bool
    problems: tuple[tuple[str, str], ...] = ()
    more: int = 0
    failed: str | None = None

    @property
    def detail(self) -> str:
        """Say in a sentence what is wrong."""
        if self.failed is not None:
            return f"Its output could not be checked as {self.name}: {self.failed}."
        if not self.problems:
            return ""
        path, message = self.problems[0]
        others = len(self.problems) - 1 + self.more
        rest = f" (and {others}{' or more' if self.more >= MOST_MORE else ''} others)"
        return f"Its output is not {self.name}: {path}: {message}{rest if others else ''}."


def write_checked(checked: Checked | None) -> str:
    """Give it as JSON; empty where there is none. What is too long loses its last problems."""
    if checked is None:
        return ""
    problems = list(checked.problems)
    while True:
        text = json.dumps(
            {
                "name": checked.name, "ok": checked.ok, "problems": problems,
                "more": checked.more + len(checked.problems) - len(problems),
                "failed": checked.failed,
            },
            ensure_ascii=False,
        )  # fmt: skip
        if len(text.encode()) <= MOST_BYTES or not problems:
            return text
        problems.pop()


def read_checked(text: str) -> Checked | None:
    """Read it from JSON, each part bounded; None where there is none, or it is not of its form."""
    if not text or len(text) > MOST_BYTES:
        return None
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    match value:
        case {
            "name": str(name),
            "ok": bool(ok),
            "problems": [*listed],
            "more": int(more),
            "failed": str() | None as failed,
        }:
            problems = tuple(_problem(each) for each in listed[:MOST_PROBLEMS])
            if None in problems:
                return None
            why = _short(failed) if failed is not None else None
            found = tuple(each for each in problems if each is not None)
            return Checked(_short(name), ok, found, min(max(0, more), MOST_MORE), why)
    return None


def _problem(value: object) -> tuple[str, str] | None:
    match value:
        case [str(path), str(message)]:
            return _short(path), _short(message)
    return None


def _short(text: str) -> str:
    return text[:MOST_TEXT].encode("utf-8", "replace").decode()
