"""Privileges given up: capabilities, and what prctl(2) says of a process.

Sources: include/uapi/linux/capability.h (struct __user_cap_header_struct: version, pid; twice
struct __user_cap_data_struct: effective, permitted, inheritable), prctl.h, securebits.h.
Sets of capabilities are bits: 1 << CAP_....
"""

from __future__ import annotations

import errno
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runyard.worker.sandbox.kernel import syscalls
else:
    from kernel import syscalls

VERSION_3 = 0x20080522
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
PR_CAPBSET_DROP, PR_SET_SECUREBITS = 24, 28
PR_SET_NO_NEW_PRIVS = 38
SIGKILL = 9
NOTHING = 0
CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SETPCAP = 5, 6, 7, 8
CAP_NET_ADMIN, CAP_SYS_CHROOT, CAP_SYS_ADMIN = 12, 18, 21
BITS = 64

# NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE, each with its lock, and the lock of KEEP_CAPS
LOCKED = 0b11101111
"""Securebits with which uid 0 is a uid like another, whatever is executed or becomes of it."""


def drop(keep: int = NOTHING, *, bounding: bool = True) -> None:
    """Keep these capabilities, effective and permitted; none is inheritable, so none ambient.

    `bounding` takes the others out of the bounding set too, one call each, which needs CAP_SETPCAP:
    it may be left out where no_new_privs is set. Raises OSError.
    """
    if bounding:
        drop_bounding(keep)
    low, high = keep & 0xFFFFFFFF, keep >> 32
    header = struct.pack("=Ii", VERSION_3, 0)
    syscalls.call("capset", header, struct.pack("=6I", low, low, 0, high, high, 0))


def drop_bounding(keep: int = NOTHING) -> None:
    """Take all but these out of the bounding set, for good. Raises OSError."""
    for each in range(BITS):
        if keep >> each & 1:
            continue
        try:
            syscalls.prctl(PR_CAPBSET_DROP, each)
        except OSError as error:
            if error.errno == errno.EINVAL:  # above the last that this kernel knows
                return
            raise


def lock_securebits() -> None:
    """Make uid 0 nothing special from here on; needs CAP_SETPCAP. Raises OSError."""
    syscalls.prctl(PR_SET_SECUREBITS, LOCKED)


def no_new_privs() -> None:
    """Let no later exec give privileges (set-uid, file capabilities), for good. Raises OSError."""
    syscalls.prctl(PR_SET_NO_NEW_PRIVS, 1)


def set_dumpable(dumpable: bool) -> None:
    """Say whether processes of this uid may trace this one and read its /proc files.

    A change of uid or gid, and an exec of what may not be read, clear it; files under /proc/self
    then belong to root. Raises OSError.
    """
    syscalls.prctl(PR_SET_DUMPABLE, int(dumpable))


def die_with_parent(number: int = SIGKILL) -> None:
    """Have the kernel send this when the thread that started us ends; 0 is not to.

    A change of uid, gid or capabilities by exec clears it, and a parent that is gone already is not
    noticed: ask for the parent after this call. Raises OSError.
    """
    syscalls.prctl(PR_SET_PDEATHSIG, number)
