"""A control group that does as a test says."""

from __future__ import annotations

from typing import Any

from runyard.protocols.limits import MIB
from runyard.worker.sandbox.cgroups.files import GroupError
from runyard.worker.sandbox.cgroups.group import Counters


class FakeGroup:
    """A group of which the test says what its counters are."""

    def __init__(self, name: str = "g") -> None:
        self.paths = [f"/groups/{name}"]
        self.own_now: int | None = 10 * MIB
        self.base_bytes: int | None = 10 * MIB
        self.used = self.before = 0.0
        self.counters = Counters(0, 0, 0.0, 30 * MIB)
        self.limits: list[tuple[Any, ...]] = []
        self.busy = 0
        self.error: GroupError | None = None

    def own_bytes(self, enough: int = 0) -> int | None:
        if self.error is not None:
            raise self.error
        return self.own_now

    def note_base(self) -> None:
        if self.error is not None:
            raise self.error

    def begin(self) -> None:
        if self.error is not None:
            raise self.error
        self.before = self.used

    def end(self) -> Counters:
        if self.error is not None:
            raise self.error
        return self.counters

    def set_limits(self, *limits: Any) -> None:
        self.limits.append(limits)

    def used_s(self) -> float:
        if self.error is not None:
            raise self.error
        return self.used - self.before

    def remove(self) -> bool:
        if self.error is not None:
            raise self.error
        self.busy -= 1
        return self.busy < 0
