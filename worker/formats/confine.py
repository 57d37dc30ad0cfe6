"""What the checking child takes from itself before it sees any output. Runs in the child alone."""

from __future__ import annotations

import ctypes
import os
import resource
import signal

from attrs import frozen

from runyard.worker.sandbox.starting import be_the_first_to_go

MIB = 1024 * 1024
OPEN_FILES = 16
CLONE_NEWUSER = 0x10000000  # linux/sched.h
CLONE_NEWNET = 0x40000000
CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h
PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_NO_NEW_PRIVS = 38

libc = ctypes.CDLL(None, use_errno=True)


@frozen
class Bounds:
    """What the child may use, and whom it becomes.

    Attributes:
        cpu_s: Seconds of processor for one check; the worker's own limit, by the clock, is lower.
        memory_bytes: Address space.
        uid: The user it becomes, where the worker is root; None to stay who it is.
    """

    cpu_s: int = 6
    memory_bytes: int = 1024 * MIB
    uid: int | None = None
    gid: int | None = None


def confine(bounds: Bounds, parent: int) -> bool:
    """Give up files, processes, privileges and, where the system lets us, the network.

    Everything that a check needs is imported by now: another user may not be let into the folders
    that it came from. Whether the network is gone is returned.

    Raises:
        OSError: a privilege could not be given up, or the worker has ended meanwhile.
    """
    be_the_first_to_go()  # before setresuid, which gives our own /proc files to root
    alone = _leave_network()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    _limit(resource.RLIMIT_AS, bounds.memory_bytes)
    if bounds.uid is not None and bounds.gid is not None:
        os.setgroups([])
        os.setresgid(bounds.gid, bounds.gid, bounds.gid)
        os.setresuid(bounds.uid, bounds.uid, bounds.uid)
    _limit(resource.RLIMIT_NPROC, 0)  # no process and no thread but this one
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _drop_capabilities()
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # after setresuid, which clears it
    if os.getppid() != parent:
        raise OSError("the worker ended while its checking process was started")
    return alone


def allow_cpu(seconds: int) -> None:
    """Let this process use so many seconds of processor from now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = int(used.ru_utime + used.ru_stime) + 1 + seconds
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _leave_network() -> bool:
    """Enter a network namespace of our own, in which there is nothing."""
    if os.geteuid() == 0 and libc.unshare(CLONE_NEWNET) == 0:
        return True
    return bool(libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0) if os.geteuid() != 0 else False


def _drop_capabilities() -> None:
    """Keep none: whoever makes a user namespace is almighty in it."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "the capabilities could not be given up")


def _limit(which: int, most: int) -> None:
    """Lower a limit; an inherited one that is lower already stays."""
    _, hard = resource.getrlimit(which)
    bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (bound, bound))
