"""Namespaces: processes started in new ones, their maps of users, a name, a loopback.

Sources: include/uapi/linux/sched.h (CLONE_*, struct clone_args: eleven __u64, of which kernels
before 5.7 know eight), include/uapi/linux/if.h (struct ifreq, 40 bytes), sockios.h.
"""

from __future__ import annotations

import ctypes
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runyard.worker.sandbox.kernel import files, syscalls
else:
    from kernel import files, syscalls

NEWTIME, NEWNS, NEWCGROUP, NEWUTS = 0x80, 0x20000, 0x02000000, 0x04000000
NEWIPC, NEWUSER, NEWPID, NEWNET = 0x08000000, 0x10000000, 0x20000000, 0x40000000
CLONE_PIDFD = 0x1000
CLONE_INTO_CGROUP = 1 << 33
SIGCHLD = 17
CLONE_ARGS = struct.Struct("=11Q")
FIRST_CLONE_ARGS = 64  # CLONE_ARGS_SIZE_VER0

AF_INET, SOCK_DGRAM, SOCK_CLOEXEC = 2, 2, 0o2000000
SIOCSIFFLAGS = 0x8914
IFF_UP, IFF_RUNNING = 0x1, 0x40


def clone3(flags: int = 0, *, pidfd: bool = False, cgroup: int | None = None) -> tuple[int, int]:
    """Fork into new namespaces: (pid, its pidfd or -1) here, (0, -1) in the child.

    `cgroup` is the descriptor of a version 2 folder in which the child begins (Linux 5.7). For
    processes of one thread only: none of the hooks of os.fork run, so the child should go on to
    os.fork or an exec before it needs the threading or random modules. The pidfd is closed on exec.
    Raises OSError: ENOSYS where a seccomp filter hides the call, EPERM, ENOSPC above the limits in
    /proc/sys/user.
    """
    slot = ctypes.c_int(-1)
    where = ctypes.addressof(slot) if pidfd else 0
    flags |= CLONE_PIDFD if pidfd else 0
    flags |= CLONE_INTO_CGROUP if cgroup is not None else 0
    args = CLONE_ARGS.pack(flags, where, 0, 0, SIGCHLD, 0, 0, 0, 0, 0, cgroup or 0)
    size = FIRST_CLONE_ARGS if cgroup is None else CLONE_ARGS.size
    pid = syscalls.call("clone3", args, size)
    return (pid, slot.value) if pid else (0, -1)


def clone_into(pid: ctypes.c_long, flags: int) -> None:
    """Fork into new namespaces, to be noted: the pid is 0 in the child. As `clone3` otherwise."""
    args = CLONE_ARGS.pack(flags, 0, 0, 0, SIGCHLD, 0, 0, 0, 0, 0, 0)
    syscalls.call("clone3", args, FIRST_CLONE_ARGS, into=pid)


def unshare(flags: int) -> None:
    """Move this process (for NEWPID, its children to come) into new namespaces. Raises OSError."""
    syscalls.call("unshare", flags)


def write_maps(
    of: int | str | None,
    *,
    uid: tuple[int, int],
    gid: tuple[int, int],
    deny_setgroups: bool = True,
    at: int = files.AT_FDCWD,
) -> None:
    """Map one user and one group, each (inside, outside), into a user namespace.

    `of` is a process in it, a folder of a proc (seen from the folder `at`) that stands for one, or
    None for this one. Without
    setgroups no process in it can change its supplementary groups, which an unprivileged writer has
    to accept; so give them up before.
    An outside uid of 0 needs CAP_SETFCAP where the namespace was made: a zygote is not uid 0.
    Raises OSError with the file's name: EPERM for ids that are not the writer's own.
    """
    folder = of if isinstance(of, str) else "/proc/self" if of is None else f"/proc/{of:d}"
    if deny_setgroups:
        files.write(f"{folder}/setgroups", "deny", at)
    files.write(f"{folder}/uid_map", f"{uid[0]:d} {uid[1]:d} 1", at)
    files.write(f"{folder}/gid_map", f"{gid[0]:d} {gid[1]:d} 1", at)


def set_hostname(name: str) -> None:
    """Name the machine in this uts namespace, with at most 64 bytes. Raises OSError."""
    data = name.encode()
    syscalls.call("sethostname", data, len(data), about=name)


def loopback_up() -> None:
    """Bring up lo, with 127.0.0.1 and ::1, in this network namespace. Raises OSError."""
    handle = syscalls.call("socket", AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)
    try:
        request = struct.pack("=16sh22x", b"lo", IFF_UP | IFF_RUNNING)
        syscalls.call("ioctl", handle, SIOCSIFFLAGS, request, about="lo up")
    finally:
        os.close(handle)
