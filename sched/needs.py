"""What a task needs of a worker, and what a worker has, as the keys that indexes share: pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from runyard.protocols.formats import BUILTIN, SCHEMA
from runyard.protocols.tasks import Task

BUILT_IN = "*"
"""The checks that every worker of version 2 has: the built-in formats, and schemas of requests."""


class Need(NamedTuple):
    """A runtime; a format: none, a built-in one, or an operator's by its name; a way out."""

    runtime: str
    format: str = ""
    network: bool = False


def need_of(task: Task) -> Need:
    """Give what a task needs."""
    wanted = task.format
    if wanted is None:
        return Need(task.language, network=task.network)
    built_in = wanted.name in BUILTIN or wanted.name == SCHEMA
    return Need(task.language, BUILT_IN if built_in else wanted.name, task.network)


def met_by(
    runtimes: Sequence[str], formats: Sequence[str], network: bool = False
) -> tuple[Need, ...]:
    """Give every need that a worker meets; one with a way out takes tasks without, too."""
    kinds = [""]
    if set(BUILTIN) <= set(formats):
        kinds += [BUILT_IN, *(name for name in formats if name not in BUILTIN)]
    ways = (False, True) if network else (False,)
    return tuple(Need(runtime, kind, way) for runtime in runtimes for kind in kinds for way in ways)
