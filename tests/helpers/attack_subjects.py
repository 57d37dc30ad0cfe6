"""Sandboxes of two slots for attacks and for what tests the running of attacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
from attack_ground import Subject, children
from slots import JAIL, Slots
from twisted.internet.defer import Deferred

from runyard.worker.network.gateway import Gateway
from runyard.worker.sandbox.jail.sandbox import JailSandbox
from runyard.worker.sandbox.levels import RESTRICTED


def plain(reactor: Any, state: Path) -> Subject:
    """Level `none`: for harmless probes alone; it stops no attack."""
    slots = Slots(state)

    async def stop() -> None:
        await slots.sandbox.stop()
        await slots.jobs.remove()

    return Subject(slots.sandbox, lambda: Deferred.fromCoroutine(stop()), children)


def restricted(reactor: Any, state: Path) -> Subject:
    """Level `restricted`, in an outer box; which has one slot."""
    slots = Slots(state, level=RESTRICTED)

    async def stop() -> None:
        await slots.sandbox.stop()
        await slots.jobs.remove()

    def helpers() -> frozenset[int]:
        return frozenset(each.pid for each in slots.helpers())

    return Subject(slots.sandbox, lambda: Deferred.fromCoroutine(stop()), helpers)


NAMES = {
    "inside.test": ["127.0.0.1"],
    "both.test": ["192.0.2.1", "127.0.0.1"],
    "metadata.test": ["169.254.169.254"],
}


def look(name: str) -> list[str]:
    """Resolve as an attacker's name server would."""
    if name not in NAMES:
        raise OSError(-2, "Name or service not known")
    return NAMES[name]


def jail(reactor: Any, state: Path) -> Subject:
    """The best level that this system gives, in an outer box."""
    slots = Slots(state, level=JAIL, gateway=Gateway(reactor, look=look))
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
