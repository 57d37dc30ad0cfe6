"""What a task without namespaces of its own may not do in addition: data, and pure.

There its pid, ipc and network namespaces are the worker's, and so may be its uid. It is taken that
the worker made it the leader of a session of its own before the filter. What no filter can see:
sockets of other daemons that have a path (Landlock knows none of them up to ABI 8) answer it as far
as their modes let its uid in.
"""

from __future__ import annotations

import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runyard.worker.sandbox.kernel import bpf, policy
else:
    from kernel import bpf, policy

_EPERM = policy.refuse(errno.EPERM)
SESSIONS = ("setsid", "setpgid")
"""The task's end is a kill of its process group, which nothing may leave."""

_SHARED_MEMORY = (
    "shmget shmat shmctl shmdt msgget msgsnd msgrcv msgctl semget semop semtimedop semctl "
    "mq_open mq_unlink"
)
SHARED_MEMORY = tuple(_SHARED_MEMORY.split())
"""What outlives a task, and what other tasks and daemons could be reached by."""

_OWNERSHIP = "chmod fchmod fchmodat fchmodat2 chown fchown fchownat lchown file_setattr"
OWNERSHIP = tuple(_OWNERSHIP.split())
"""Landlock does not hold these: an owner can take its own files away from itself by them."""

_ATTRIBUTES = (
    "setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat"
)
ATTRIBUTES = tuple(_ATTRIBUTES.split())
"""Nor these, which change a mode too, by an access list, and write outside the task's folder."""


def restricted(*, own_pid: int | None = None, owns_files: bool = False) -> policy.Policy:
    """Give the policy of level `restricted`.

    `own_pid` is needed where Landlock does not scope signals (below ABI 6): then the task may
    signal itself and its process group, by kill, and its first process by tgkill and the like. A
    filter knows no other pids, so there subprocess's kill() and terminate() fail with EPERM, and a
    forked child that calls abort() ends by another signal. `owns_files` says that the task's uid is
    the worker's, or otherwise owns what is not the task's: then no mode or owner may be changed.
    """
    ours = policy.NAMESPACED.with_rules(
        {
            **dict.fromkeys((*SESSIONS, *SHARED_MEMORY), _EPERM),
            # as a file system without them answers, which programs are ready for
            **dict.fromkeys(ATTRIBUTES, policy.refuse(errno.EOPNOTSUPP)),
            **{name: policy.only(0, 0) for name in policy.ON_A_PROCESS},
            "setpriority": _only_itself(policy.PRIO_PROCESS),
            "ioprio_set": _only_itself(policy.IOPRIO_WHO_PROCESS),
            "socket": policy.sockets(internet=False),
            # where Landlock lets it reach nobody, the kernel calls that a success
            "kill": policy.never(0, -1),
        }
    )
    if owns_files:
        ours = ours.with_rules(dict.fromkeys(OWNERSHIP, _EPERM))
    return ours if own_pid is None else ours.with_rules(_signals(own_pid))


def _only_itself(kind: int) -> bpf.Block:
    return bpf.argument(0, bpf.if_one_of((kind,), policy.only(1, 0), _EPERM))


def _signals(pid: int) -> dict[str, bpf.Block]:
    """Hold signals by kill, and by a descriptor's owner, which F_SETSIG makes any signal."""
    itself = policy.only(0, pid)
    calls = ("tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")
    return {
        **dict.fromkeys(calls, itself),
        "kill": policy.only(0, pid, 0, -pid),
        "pidfd_send_signal": _EPERM,
        "fcntl": policy.never(1, policy.F_SETOWN, policy.F_SETOWN_EX),
        "ioctl": policy.never(
            1,
            policy.TIOCSTI,
            policy.TIOCLINUX,
            policy.TIOCSETD,
            policy.FIOSETOWN,
            policy.SIOCSPGRP,
        ),
    }
