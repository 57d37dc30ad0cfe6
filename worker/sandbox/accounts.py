"""Uids that are a worker's to use, in the user namespace that it is in."""

from __future__ import annotations

from runyard.worker.sandbox.runtimes import Account

MAPS = "/proc/self/{}_map"


def account_of(uid: int | None, otherwise: Account | None) -> Account | None:
    """Give the account of a uid of ours; another where there is none, or this namespace lacks it.

    A container's user namespace often has 65536 of them.
    """
    if uid is None or not mapped(uid):
        return otherwise
    return Account(f"uid {uid}", uid, uid)


def mapped(uid: int, maps: str = MAPS) -> bool:
    """Whether a uid, and the gid of its number, can be taken in this user namespace."""
    for kind in ("uid", "gid"):
        try:
            with open(maps.format(kind), encoding="ascii") as table:
                ranges = [[int(each) for each in line.split()] for line in table]
        except (OSError, ValueError):
            return False
        if not any(first <= uid < first + count for first, _, count in ranges):
            return False
    return True
