"""What a check found: values, bounded, and their form between the child and the worker."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from attrs import frozen

from runyard.protocols.checked import MOST_MORE, MOST_PROBLEMS, MOST_TEXT


@frozen
class Problem:
    """One fault of an output: its JSON path (``$.image_urls[3]``) and a short sentence."""

    path: str
    message: str


@frozen
class Verdict:
    """What came of a check.

    Attributes:
        ok: Whether the output is of the format.
        name: The format's name.
        problems: At most 20, in the order in which they were found.
        more: How many others there are; 1000 means 1000 or more.
        failed: Why the check did not come to an end, or None. Then nothing is known of the output,
            and `ok` is false.
    """

    ok: bool
    name: str
    problems: tuple[Problem, ...] = ()
    more: int = 0
    failed: str | None = None


def verdict_of(name: str, problems: Iterable[Problem]) -> Verdict:
    """List the problems, bounded; the iterable is read no further than they are counted."""
    found = iter(problems)
    listed = tuple(bounded(each) for each in itertools.islice(found, MOST_PROBLEMS))
    more = sum(1 for _ in itertools.islice(found, MOST_MORE))
    return Verdict(not listed, name, listed, more)


def bounded(problem: Problem) -> Problem:
    """Give a problem whose texts are short and can be sent."""
    return Problem(short(problem.path), short(problem.message))


def short(text: str, most: int = MOST_TEXT) -> str:
    """Cut a text with an ellipsis; what has no place on a line or in UTF-8 is escaped."""
    text = text[: most + 1]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if len(text) <= most else text[: most - 1] + "…"


def failure(name: str, why: str) -> Verdict:
    """Give the verdict of a check that did not come to an end."""
    return Verdict(ok=False, name=name, failed=short(why))


def to_wire(verdict: Verdict) -> dict[str, Any]:
    """Give a verdict as plain values; its name stays behind, for the worker knows it."""
    return {
        "ok": verdict.ok,
        "problems": [[problem.path, problem.message] for problem in verdict.problems],
        "more": verdict.more,
        "failed": verdict.failed,
    }


def from_wire(name: str, values: dict[str, Any]) -> Verdict:
    """Read what the child said, which hostile input may have broken.

    Raises:
        ValueError: it is no verdict.
    """
    match values:
        case {
            "ok": bool(ok),
            "problems": [*listed],
            "more": int(more),
            "failed": str() | None as failed,
        }:
            problems = tuple(bounded(_problem(each)) for each in listed[:MOST_PROBLEMS])
            if ok == (not problems and failed is None):
                why = None if failed is None else short(failed)
                return Verdict(ok, name, problems, min(max(0, more), MOST_MORE), why)
    raise ValueError("the checking process gave no verdict")


def _problem(values: object) -> Problem:
    match values:
        case [str(path), str(message)]:
            return Problem(path, message)
    raise ValueError("the checking process gave no verdict")
