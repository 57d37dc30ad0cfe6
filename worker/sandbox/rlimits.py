"""Limits as rlimits: pure."""

from __future__ import annotations

import math

from runyard.protocols.limits import Limits

OPEN_FILES = 1024


def rlimits(limits: Limits, *, slots: int, own_uid: bool) -> dict[str, tuple[int, int]]:
    """Give (soft, hard) by the names of the `resource` module.

    Memory is bounded by RLIMIT_DATA (private writable mappings, Linux 4.7 and newer), a process at
    a time: RLIMIT_AS would also count address space that is only reserved, with which node does not
    start. NPROC counts every process of a uid, so it is set only where the jobs have a uid of their
    own, and allows for all slots since they share it.
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
        given["RLIMIT_NPROC"] = (limits.processes * slots, limits.processes * slots)
    return given
