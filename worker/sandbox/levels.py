"""Levels of isolation, and which one a worker runs at: pure."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

FULL, NAMESPACES, RESTRICTED, NONE = "full", "namespaces", "restricted", "none"
LEVELS = (FULL, NAMESPACES, RESTRICTED, NONE)
"""The best first."""


class TooLittleIsolation(Exception):
    """This system gives less than is asked for; the text says what forbids it and the ways out."""


@frozen
class Probe:
    """What was tried at start.

    Attributes:
        proven: The levels that were seen to hold.
        missing: What stops each of the others, a sentence each.
        mechanisms: What is there and what is not, by name, as it is reported.
    """

    proven: frozenset[str]
    missing: Mapping[str, str]
    mechanisms: Mapping[str, str]


def choose(probe: Probe, least: str, wanted: str | None = None) -> str:
    """Choose the best level that was proven, or the one that is wanted.

    Raises:
        TooLittleIsolation: that is less than the least, or was not proven.
    """
    best = wanted or next(level for level in LEVELS if level in probe.proven)
    if best not in probe.proven or LEVELS.index(best) > LEVELS.index(least):
        needed = wanted or least
        raise TooLittleIsolation(told(probe, needed))
    return best


def told(probe: Probe, needed: str) -> str:
    """Say what this system does not give, why, and what can be done."""
    why = probe.missing.get(needed) or f"isolation {needed!r} is not to be had here"
    lesser = [level for level in LEVELS if level in probe.proven and level != NONE]
    ways = [f"--min-isolation {level}" for level in lesser[:1]]
    ways.append("--allow-unsandboxed, if you trust every task")
    return f"{why}\n  Or run with less: {', or '.join(ways)}"
