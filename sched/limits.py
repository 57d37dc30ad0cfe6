"""An operator's own defaults and maxima, within those of the contract: pure."""

from __future__ import annotations

from typing import Any

import attrs
from attrs import field, frozen

from runyard.protocols.limits import RANGES, Limits, Range, complaint


@frozen
class LimitRefused(Exception):
    """A value is above an operator's maximum."""

    name: str
    allowed: str


@frozen
class LimitPolicy:
    """Ranges by the limits' names."""

    ranges: dict[str, Range] = field(factory=lambda: dict(RANGES))

    def apply(self, values: dict[str, Any]) -> Limits:
        """Fill in the defaults.

        Raises:
            LimitRefused: a value is out of its range.
        """
        for name, value in values.items():
            wrong = complaint(name, value, self.ranges)
            if wrong is not None:
                raise LimitRefused(name, wrong)
        given = {name: each.default for name, each in self.ranges.items()} | values
        typed = {k: int(v) if RANGES[k].whole else float(v) for k, v in given.items()}
        return Limits(**typed)  # type: ignore[arg-type]

    def with_option(self, text: str) -> LimitPolicy:
        """Read ``NAME=DEFAULT[:MAXIMUM]``.

        Raises:
            ValueError: the name is unknown, or a number is out of the contract's range.
        """
        name, _, numbers = text.partition("=")
        if name not in RANGES:
            raise ValueError(f"{name!r} is not one of {', '.join(RANGES)}")
        default, colon, maximum = numbers.partition(":")
        highest = _number(name, maximum) if colon else self.ranges[name].maximum
        usual = _number(name, default)
        if usual > highest:
            raise ValueError(f"{name}: the default {usual:g} is above the maximum {highest:g}")
        changed = attrs.evolve(RANGES[name], default=usual, maximum=highest)
        return LimitPolicy(self.ranges | {name: changed})


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{name}: {text!r} is not a number") from None
    wrong = complaint(name, value)
    if wrong is not None:
        raise ValueError(f"{name}: {text} {wrong}")
    return value
