"""What a task needs of a worker, and what a worker has, as the keys that indexes share: pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from runyard.protocols.formats import BUILTIN, SCHEMA
from runyard.protocols.tasks import Task

BUILT_IN = "*"
"""The checks that every worker of version 2 has: the built-in formats, and schemas of requests."""


class Need(NamedTuple):
    """A runtime; a format: none, a built-in one, or an operator's by its name; files; a way out."""

    runtime: str
    format: str = ""
    files: bool = False
    network: bool = False


def need_of(task: Task) -> Need:
    """Give what a task needs."""
    wanted, files = task.format, bool(task.files)
    if wanted is None:
        return Need(task.language, files=files, network=task.network)
    built_in = wanted.name in BUILTIN or wanted.name == SCHEMA
    return Need(task.language, BUILT_IN if built_in else wanted.name, files, task.network)


def met_by(
    runtimes: Sequence[str],
    formats: Sequence[str],
    *,
    files: bool = False,
    network: bool = False,
) -> tuple[Need, ...]:
    """Give every need that a worker meets; what it has more than is asked for is no hindrance."""
    kinds = [""]
    if set(BUILTIN) <= set(formats):
        kinds += [BUILT_IN, *(name for name in formats if name not in BUILTIN)]
    given, ways = ((False, True) if each else (False,) for each in (files, network))
    return tuple(Need(*each) for each in product(runtimes, kinds, given, ways))
