"""Sandboxes of two slots for attacks and for what tests the running of attacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attack_ground import Subject, children
from slots import Slots
from twisted.internet.defer import Deferred


def plain(reactor: Any, state: Path) -> Subject:
    """Level `none`: for harmless probes alone; it stops no attack."""
    slots = Slots(state)

    async def stop() -> None:
        await slots.sandbox.stop()
        await slots.jobs.remove()

    return Subject(slots.sandbox, lambda: Deferred.fromCoroutine(stop()), children)
