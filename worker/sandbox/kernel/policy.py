"""Which system calls a task may not make, and which only with some arguments: data, and pure.

A list of what is denied, not of what is allowed: tasks are any program in any language, and what is
denied needs a privilege that they do not have, or reaches parts of the kernel that they have no use
for. What is newer than our table answers ENOSYS, which programs expect of an older kernel.
"""

from __future__ import annotations

import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runyard.worker.sandbox.kernel import bpf
else:
    from kernel import bpf

# include/uapi/linux/seccomp.h
ALLOW = bpf.result(0x7FFF0000)
KILL = bpf.result(0x80000000)  # the whole process


def refuse(number: int) -> bpf.Block:
    """Answer the call with this errno."""
    return bpf.result(0x00050000 | number)


_DENIED = (
    # other processes' memory and files
    "ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp pidfd_getfd "
    # mounts, roots and namespaces
    "mount umount2 pivot_root chroot unshare setns open_tree move_mount fsopen fsconfig fsmount "
    "fspick mount_setattr open_tree_attr statmount listmount "
    # files by handle, whatever the root; watching a whole file system
    "name_to_handle_at open_by_handle_at fanotify_init fanotify_mark lookup_dcookie "
    # the machine
    "swapon swapoff reboot kexec_load kexec_file_load init_module finit_module delete_module "
    "create_module query_module get_kernel_syms acct quotactl quotactl_fd syslog iopl ioperm "
    "vhangup settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname "
    "lsm_set_self_attr "
    # where kernels break: large, rarely used, often attacked
    "bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register "
    "add_key request_key keyctl vmsplice memfd_secret modify_ldt "
    "mbind set_mempolicy set_mempolicy_home_node migrate_pages move_pages "
    # of an older time
    "nfsservctl uselib ustat sysfs _sysctl"
)
DENIED = frozenset(_DENIED.split())
"""Refused with EPERM, whatever their arguments."""

# include/uapi/linux/sched.h: CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET. CLONE_NEWTIME is part
# of clone's exit signal, and only unshare and clone3 know it.
NEW_NAMESPACES = 0x7E020000
S_IFMT, S_IFCHR, S_IFBLK = 0o170000, 0o020000, 0o060000
TIOCSTI, TIOCLINUX, TIOCSETD = 0x5412, 0x541C, 0x5423  # asm-generic/ioctls.h
FIOSETOWN, SIOCSPGRP = 0x8901, 0x8902  # asm-generic/sockios.h
F_SETOWN, F_SETOWN_EX = 8, 15  # asm-generic/fcntl.h
AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_PACKET = 1, 2, 3, 10
SOCK_TYPE_MASK = 0xF
IPPROTO_TCP, IPPROTO_UDP = 6, 17
TCP_ULP = 31  # linux/tcp.h

_EPERM = refuse(errno.EPERM)
_NO_FAMILY = refuse(errno.EAFNOSUPPORT)
_NO_PROTOCOL = refuse(errno.EPROTONOSUPPORT)


def _device(mode_at: int) -> bpf.Block:
    kinds = bpf.if_one_of((S_IFCHR, S_IFBLK), _EPERM, ALLOW)
    return bpf.argument(mode_at, bpf.masked(S_IFMT, kinds))


def sockets(*, internet: bool) -> bpf.Block:
    """Allow AF_UNIX, and TCP and UDP over IP: nothing raw, no SCTP, MPTCP, SMC, ping or L2TP."""
    local = bpf.argument(1, bpf.masked(SOCK_TYPE_MASK, bpf.if_one_of((SOCK_RAW,), _EPERM, ALLOW)))
    if not internet:
        return bpf.argument(0, bpf.if_one_of((AF_UNIX,), local, _NO_FAMILY))
    protocols = bpf.if_one_of((0, IPPROTO_TCP, IPPROTO_UDP), ALLOW, _NO_PROTOCOL)
    types = bpf.if_one_of((SOCK_STREAM, SOCK_DGRAM), bpf.argument(2, protocols), _NO_PROTOCOL)
    types = bpf.if_one_of((SOCK_RAW, SOCK_PACKET), _EPERM, types)
    inet = bpf.argument(1, bpf.masked(SOCK_TYPE_MASK, types))
    other = bpf.if_one_of((AF_INET, AF_INET6), inet, _NO_FAMILY)
    return bpf.argument(0, bpf.if_one_of((AF_UNIX,), local, other))


def only(at: int, *values: int) -> bpf.Block:
    """Allow the call when that argument is one of these; EPERM otherwise."""
    return bpf.argument(at, bpf.if_one_of(values, ALLOW, _EPERM))


def never(at: int, *values: int) -> bpf.Block:
    """Refuse the call with EPERM when that argument is one of these."""
    return bpf.argument(at, bpf.if_one_of(values, _EPERM, ALLOW))


def _spares_keeper(process: int, user: int) -> bpf.Block:
    """Allow (kind, id) but for the keeper, and for all of a user, of whom it is one."""
    named = bpf.if_one_of((process,), never(1, KEEPER), ALLOW)
    return bpf.argument(0, bpf.if_one_of((user,), _EPERM, named))


def _upper_layers() -> bpf.Block:
    """Refuse TCP_ULP: kernel TLS and its like, which programs do without where they are not."""
    name = bpf.argument(2, bpf.if_one_of((TCP_ULP,), refuse(errno.ENOPROTOOPT), ALLOW))
    return bpf.argument(1, bpf.if_one_of((IPPROTO_TCP,), name, ALLOW))


KEEPER = 1
"""The pid of whoever holds a task's limits, in the task's own namespace."""
PRIO_PROCESS, PRIO_USER = 0, 2  # uapi linux/resource.h
IOPRIO_WHO_PROCESS, IOPRIO_WHO_USER = 1, 3  # uapi linux/ioprio.h
_ON_A_PROCESS = "prlimit64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler"
ON_A_PROCESS = tuple(_ON_A_PROCESS.split())
"""Calls on a pid that a process of the same uid has to bear."""


class Policy:
    """Blocks by the names of calls; a call that is not named is allowed.

    Filters that a task adds by prctl or seccomp can only deny more: of several answers the kernel
    takes the strictest.
    """

    def __init__(self, rules: dict[str, bpf.Block]) -> None:
        self.rules = rules

    def with_rules(self, more: dict[str, bpf.Block]) -> Policy:
        """Give a policy that has these in addition, or in place of its own."""
        return Policy({**self.rules, **more})


NAMESPACED = Policy(
    {
        **dict.fromkeys(DENIED, _EPERM),
        # Its flags are behind a pointer; C libraries fall back to clone.
        "clone3": refuse(errno.ENOSYS),
        "clone": bpf.argument(0, bpf.if_any_bit(NEW_NAMESPACES, _EPERM, ALLOW)),
        "ioctl": never(1, TIOCSTI, TIOCLINUX, TIOCSETD),
        "socket": sockets(internet=True),
        "socketpair": bpf.argument(0, bpf.if_one_of((AF_UNIX,), ALLOW, _NO_FAMILY)),
        "setsockopt": _upper_layers(),
        "personality": only(0, 0, 0xFFFFFFFF),  # PER_LINUX, and the question
        # The keeper is of the task's uid: an RLIMIT_CPU of 0 would kill it.
        **dict.fromkeys(ON_A_PROCESS, never(0, KEEPER)),
        "setpriority": _spares_keeper(PRIO_PROCESS, PRIO_USER),
        "ioprio_set": _spares_keeper(IOPRIO_WHO_PROCESS, IOPRIO_WHO_USER),
        "mknod": _device(1),
        "mknodat": _device(2),
    }
)
"""For a task in namespaces of its own: levels `full` and `namespaces`."""
