"""Runs a program as a container's default profile would: no namespaces, no mounts, for good.

``python container.py UID PROGRAM [ARGUMENT ...]``: moby's default seccomp profile without
CAP_SYS_ADMIN answers EPERM to what makes namespaces and mounts, and ENOSYS to clone3; the default
set of capabilities has no CAP_SYS_ADMIN.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runyard.worker.sandbox import starting

sys.path.append(str(Path(starting.__file__).parent))

if TYPE_CHECKING:
    from runyard.worker.sandbox.kernel import bpf, capabilities, policy, seccomp, syscalls
else:
    from kernel import bpf, capabilities, policy, seccomp, syscalls

# moby's oci/caps/defaults.go: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP
# NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP
KEPT = (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31)
FORBIDDEN = "mount umount2 unshare setns pivot_root move_mount fsopen open_tree mount_setattr bpf"
_EPERM = policy.refuse(errno.EPERM)


def default_profile() -> policy.Policy:
    """Give the part of the profile that matters here."""
    return policy.Policy(
        {
            **dict.fromkeys(FORBIDDEN.split(), _EPERM),
            "clone3": policy.refuse(errno.ENOSYS),
            "clone": bpf.argument(0, bpf.if_any_bit(policy.NEW_NAMESPACES, _EPERM, policy.ALLOW)),
        }
    )


def main(uid: int, program: list[str]) -> None:
    """Become the program."""
    if uid != os.getuid():
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    elif uid == 0:
        kept = sum(1 << each for each in KEPT)
        capabilities.drop_bounding(kept)
        capabilities.drop(kept, bounding=False)
    capabilities.no_new_privs()
    seccomp.install(seccomp.program(syscalls.MACHINE, default_profile()))
    os.execv(program[0], program)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
