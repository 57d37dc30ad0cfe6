"""What earlier runs of this worker left behind: ended and removed before it starts anew."""

from __future__ import annotations

import time

from twisted.logger import Logger

from runyard.worker.sandbox.cgroups.cleaning import clean
from runyard.worker.sandbox.cgroups.files import GroupError
from runyard.worker.sandbox.instance import Held, forget, leftovers

MOST_S = 5.0
ROUND_S = 0.01

log = Logger()


def clean_up(state: str) -> None:
    """End what is in the control groups that ended runs have written down, and remove them.

    This waits, some seconds at most: it is for a worker's start, before it has a reactor. What
    cannot be removed stays written down for the next start.
    """
    for held in leftovers(state):
        try:
            if removed(held):
                forget(held)
        except OSError as error:
            log.warn("{path}: {error}", path=held.path, error=str(error))
        finally:
            held.release()


def removed(held: Held) -> bool:
    """Remove what one run has written down; whether nothing of it is left."""
    until = time.monotonic() + MOST_S
    left = [thing.path for thing in held.things if thing.kind == "cgroup"]
    while left:
        try:
            left = [path for path in left if not clean(path)]
        except GroupError as error:
            log.warn("an earlier run left {error}", error=str(error))
            return False
        if not left or time.monotonic() > until:
            break
        time.sleep(ROUND_S)
    return not left
