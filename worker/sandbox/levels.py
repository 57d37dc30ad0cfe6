"""Levels of isolation, and which one a worker runs at: pure."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve, frozen

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

    def tried(self, level: str, why_not: str | None) -> Probe:
        """Give it with one more level tried: proven where nothing is said against it."""
        if why_not is None:
            return evolve(self, proven=self.proven | {level})
        return evolve(self, missing={**self.missing, level: why_not})


def slots_at(level: str, wanted: int) -> int:
    """Give how many slots a worker has: without namespaces one, whose tasks are never two."""
    return 1 if level == RESTRICTED else wanted


def choose(probe: Probe, least: str, wanted: str | None = None) -> str:
    """Choose the best level that was proven, or the one that is wanted.

    Raises:
        TooLittleIsolation: that is less than the least, or was not proven.
    """
    if wanted is not None and LEVELS.index(wanted) > LEVELS.index(least):
        way = "--allow-unsandboxed" if wanted == NONE else f"--min-isolation {wanted}"
        raise TooLittleIsolation(
            f"isolation {wanted!r} is less than {least!r}, the least that tasks are to be run with"
            f"\n  Or run with less: {way}"
        )
    best = wanted or next(level for level in LEVELS if level in probe.proven)
    if best not in probe.proven or LEVELS.index(best) > LEVELS.index(least):
        needed = wanted or least
        raise TooLittleIsolation(told(probe, needed))
    return best


def told(probe: Probe, needed: str) -> str:
    """Say what this system does not give, why, and what can be done."""
    why = probe.missing.get(needed) or f"isolation {needed!r} is not to be had here"
    below = LEVELS[LEVELS.index(needed) + 1 :]
    lesser = [level for level in below if level in probe.proven and level != NONE]
    ways = [f"--min-isolation {level}" for level in lesser[:1]]
    ways.append("--allow-unsandboxed, if you trust every task")
    others = [probe.missing[level] for level in below if level in probe.missing]
    neither = "".join(f"\n  {each}" for each in dict.fromkeys(others) if each != why)
    return f"{why}{neither}\n  Or run with less: {', or '.join(ways)}"
