"""What a slot asks of its helper and of what measures its jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from runyard.protocols.limits import Limits


class Helper(Protocol):
    """The process behind a slot, which runs its jobs."""

    def kill(self) -> None:
        """End it by force; idempotent, and harmless where it has ended."""


class Meter(Protocol):
    """Bounds and measures what all processes of a slot's job use together."""

    def rests(self) -> bool:
        """Whether what the last job used is free again."""

    def idle(self) -> None:
        """The slot is ready and has no job."""

    def begin(self, limits: Limits, over: Callable[[], None]) -> None:
        """Bound the next job; `over` is called where it is past a limit. Raises OSError."""

    def end(self) -> dict[str, Any]:
        """Give what was measured since, by the names of `Ending`."""

    def remove(self) -> None:
        """The slot is gone."""
