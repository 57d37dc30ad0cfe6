"""Room for the connections that an operator allows."""

from __future__ import annotations

import resource

SPARE = 256


class TooFewDescriptors(Exception):
    """The system allows fewer open files than the options need; the text says how many."""


def make_room(connections: int, what: str, instead: str) -> None:
    """Raise this process's limit of open files to what so many connections need.

    `what` names the option that wants them, `instead` what to do for fewer.

    Raises:
        TooFewDescriptors: the hard limit is below that.
    """
    needed = connections + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise TooFewDescriptors(
            f"{needed} open files are needed for {what}, the system allows"
            f" {hard}: raise its limit (ulimit -n) or {instead}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
