"""Uids that are a worker's to use, in the user namespace that it is in."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from functools import cache

from twisted.python.usage import UsageError

from runyard.worker.sandbox.runtimes import Account

UID_BASE = 0x70000000
UIDS_A_WORKER = 2048
"""For each slot one, and one more for the checks of outputs."""
CHECKS = 1024
WORKERS = 1 << 17
MAPS = "/proc/self/{}_map"

Range = tuple[int, int]
"""First, count."""


def uid_base(named: int | None) -> int | None:
    """Give the first of the slots' uids: some that belong to nobody, and to no other worker.

    None where the worker is not root. Raises UsageError: those named are somebody's, or not to be
    had in this user namespace.
    """
    if os.geteuid() != 0:
        return None
    base = drawn() if named is None else named
    if named is not None and not (mapped(base) and mapped(base + CHECKS)):
        raise UsageError(f"--uid-base {base}: this user namespace does not have {base} and above")
    for name, first, count in subordinate():
        if first <= base + CHECKS and base < first + count:
            raise UsageError(
                f"--uid-base {base}: /etc/subuid gives {first} to {first + count - 1} to {name}"
            )
    return base


@cache
def drawn() -> int:
    """Draw the uids of this process: by lot, since workers in containers have the same pid."""
    return draw(ranges("uid"), ranges("gid"), secrets.randbelow)


def draw(uids: list[Range], gids: list[Range], below: Callable[[int], int]) -> int:
    """Choose from the ids of a user namespace: pure, but for the lot.

    From 0x70000000 up where those are there; else of the upper half of the largest range.
    """
    base = UID_BASE + below(WORKERS) * UIDS_A_WORKER
    if all(_has(each, base) and _has(each, base + CHECKS) for each in (uids, gids)):
        return base
    first, count = max(set(uids) & set(gids), key=lambda each: each[1], default=(0, 0))
    blocks = count // 2 // UIDS_A_WORKER
    return first + count - UIDS_A_WORKER * (1 + below(blocks)) if blocks else base


def account_of(uid: int | None, otherwise: Account | None) -> Account | None:
    """Give the account of a uid of ours; another where there is none, or this namespace lacks it.

    A container's user namespace often has 65536 of them.
    """
    if uid is None or not mapped(uid):
        return otherwise
    return Account(f"uid {uid}", uid, uid)


def mapped(uid: int) -> bool:
    """Whether a uid, and the gid of its number, can be taken in this user namespace."""
    return all(_has(ranges(kind), uid) for kind in ("uid", "gid"))


def ranges(kind: str) -> list[Range]:
    """Read which ids (of kind ``uid`` or ``gid``) this user namespace has; none is none known."""
    try:
        with open(MAPS.format(kind), encoding="ascii") as table:
            rows = [[int(each) for each in line.split()] for line in table]
    except (OSError, ValueError):
        return []
    return [(first, count) for first, _, count in rows]


def _has(given: list[Range], number: int) -> bool:
    return any(first <= number < first + count for first, count in given)


def subordinate() -> list[tuple[str, int, int]]:
    """Read who has which uids by /etc/subuid: (name, first, count)."""
    found = []
    try:
        with open("/etc/subuid", encoding="utf-8") as table:
            for line in table:
                name, _, numbers = line.strip().partition(":")
                first, _, count = numbers.partition(":")
                if first.isdecimal() and count.isdecimal():
                    found.append((name, int(first), int(count)))
    except (OSError, ValueError):
        return []
    return found
