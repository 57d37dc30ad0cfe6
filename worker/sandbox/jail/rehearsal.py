"""Which memory a program's run touches, found out once, so that it can be touched before the next.

A forked child shares its parent's memory, and copies a page when it first writes there: a fault of
some microseconds each, and of those a run takes hundreds, most of them while the interpreter is
taken down. So the zygote has one child run a small program and stop at its very end, reads in its
page map what it has touched, and each later child has the kernel make those pages its own in a few
calls, while it waits for its task. Without Linux 5.14 nothing of this happens.

Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runyard.worker.sandbox.kernel import syscalls

    Range = tuple[int, int]
else:
    from kernel import syscalls

MADV_POPULATE_WRITE = 23  # asm-generic/mman-common.h
PRESENT, EXCLUSIVE = 1 << 63, 1 << 56  # Documentation/admin-guide/mm/pagemap.rst
ENTRY = 8
PAGE = os.sysconf("SC_PAGE_SIZE")
PATIENCE_S = 1.0
LOOK_S = 0.001
CALM = 3
GAP = 1
MOST_RANGES = 400


def rehearse(begin: Callable[[], None]) -> list[Range] | None:
    """Fork a child that goes through a run; its pages, or an empty list where that cannot be told.

    Gives None in the child, which is to return to the interpreter and will stop at its end.
    """
    pid = os.fork()
    if pid == 0:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(nowhere, standard)
        syscalls.LIBC["__cxa_atexit"](syscalls.LIBC.pause, None, None)
        begin()
        return None
    try:
        return touched(pid) if settles(pid) else []
    except (OSError, ValueError, IndexError):
        return []
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def settles(pid: int) -> bool:
    """Wait until a process sleeps for good; False where it ended or took too long."""
    until = time.monotonic() + PATIENCE_S
    calm = 0
    while calm < CALM:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state = file.read().rpartition(b")")[2].split()[0]
        calm = calm + 1 if state == b"S" else 0
        if state in b"ZX" or time.monotonic() > until:
            return False
        time.sleep(LOOK_S)
    return True


def touched(pid: int) -> list[Range]:
    """List (start, length) of what a child has touched of the mappings that we have too."""
    found: list[Range] = []
    with (
        open("/proc/self/maps", encoding="utf-8") as ours,
        open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pages,
    ):
        for line in ours:
            where, rights, *rest = line.split()
            if rights != "rw-p" or rest[-1].startswith("[stack"):
                continue
            start, end = (int(text, 16) for text in where.split("-"))
            pages.seek(start // PAGE * ENTRY)
            entries = pages.read((end - start) // PAGE * ENTRY)
            found += ranges(start, entries)
    return found[:MOST_RANGES]


def ranges(start: int, entries: bytes) -> list[Range]:
    """Join the pages of a mapping that a process has for itself alone to ranges: pure.

    `entries` is its part of the page map. Single pages between are taken along: a call costs more.
    """
    found: list[list[int]] = []
    for number in range(len(entries) // ENTRY):
        entry = int.from_bytes(entries[number * ENTRY : (number + 1) * ENTRY], "little")
        if not entry & PRESENT or not entry & EXCLUSIVE:
            continue
        if found and number - found[-1][1] <= GAP:
            found[-1][1] = number + 1
        else:
            found.append([number, number + 1])
    return [(start + first * PAGE, (end - first) * PAGE) for first, end in found]


def populate(wanted: list[Range]) -> None:
    """Have the kernel make these pages ours now; what it does not know of stays as it is."""
    madvise = syscalls.LIBC.madvise
    for start, length in wanted:
        madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), MADV_POPULATE_WRITE)
