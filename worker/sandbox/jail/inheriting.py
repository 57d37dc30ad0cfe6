"""What of its own files an interpreter has mapped, its forked children find mapped too.

A fork skips what can be read from a file again, and each child then takes a fault for every few
pages of the interpreter's code. But of a mapping with one page of its own the kernel copies the
whole table. So one byte of each large mapping is written over with itself. Where a kernel does not
let that be, tasks take longer, and that is all. Standard library only.
"""

from __future__ import annotations

import os

LEAST = 64 * os.sysconf("SC_PAGE_SIZE")
READ_ONLY = ("r-xp", "r--p")


def large(maps: str) -> list[int]:
    """Give where the large mappings of files begin that are only read, from proc(5)'s maps: pure.

    Nothing is written to what is shared, or has no file.
    """
    starts = []
    for line in maps.splitlines():
        where, rights, _, _, inode, *_ = line.split()
        start, end = (int(text, 16) for text in where.split("-"))
        if inode != "0" and rights in READ_ONLY and end - start >= LEAST:
            starts.append(start)
    return starts


def inherit() -> None:
    """Have forked children find mapped what is mapped here."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            starts = large(maps.read())
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            for start in starts:
                memory.seek(start)
                byte = memory.read(1)
                memory.seek(start)
                memory.write(byte)
    except OSError:  # no /proc here, or one that is not to be written to
        return
