"""Limits as rlimits: pure."""

from __future__ import annotations

import math

from runyard.protocols.limits import RANGES, Limits

OPEN_FILES = 1024
NPROC_MARGIN = 1024
"""For the processes of that user which are none of ours: other daemons run as `nobody` too."""


def rlimits(limits: Limits, *, slots: int, own_uid: bool) -> dict[str, tuple[int, int]]:
    """Give (soft, hard) by the names of the `resource` module.

    Memory is bounded by RLIMIT_DATA (private writable mappings, Linux 4.7 and newer), a process at
    a time: RLIMIT_AS would also count address space that is only reserved, with which node does not
    start. NPROC counts every process of a uid, which all slots share: it is set only where the
    jobs' uid is not the worker's, and lets each slot have the largest number that a task may ask
    for. One task's own limit there would count its neighbours' processes against it.
    """
    cpu = math.ceil(limits.cpu_s)
    given = {
        "RLIMIT_CPU": (cpu, cpu + 1),
        "RLIMIT_DATA": (limits.memory_bytes, limits.memory_bytes),
        "RLIMIT_FSIZE": (limits.file_bytes, limits.file_bytes),
        "RLIMIT_NOFILE": (OPEN_FILES, OPEN_FILES),
        "RLIMIT_CORE": (0, 0),
    }
    if own_uid:
        most = slots * int(RANGES["processes"].maximum) + NPROC_MARGIN
        given["RLIMIT_NPROC"] = (most, most)
    return given
