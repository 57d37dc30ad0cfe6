"""Sandboxes of two slots for attacks and for what tests the running of attacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
from attack_ground import Subject, children
from slots import JAIL, Slots
from twisted.internet.defer import Deferred

from runyard.worker.sandbox.jail.sandbox import JailSandbox


def plain(reactor: Any, state: Path) -> Subject:
    """Level `none`: for harmless probes alone; it stops no attack."""
    slots = Slots(state)

    async def stop() -> None:
        await slots.sandbox.stop()
        await slots.jobs.remove()

    return Subject(slots.sandbox, lambda: Deferred.fromCoroutine(stop()), children)


def jail(reactor: Any, state: Path) -> Subject:
    """The best level that this system gives, in an outer box."""
    slots = Slots(state, level=JAIL)
    sandbox: JailSandbox = slots.sandbox

    async def stop() -> None:
        await sandbox.stop()
        await slots.jobs.remove()

    def keepers() -> frozenset[int]:
        """Give the janitor and the zygotes, which are its children."""
        found = set()
        if sandbox.janitor.pid is not None:
            janitor = psutil.Process(sandbox.janitor.pid)
            found = {janitor.pid, *(child.pid for child in janitor.children())}
        return frozenset(found)

    return Subject(sandbox, lambda: Deferred.fromCoroutine(stop()), keepers)
