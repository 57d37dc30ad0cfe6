"""What a job at level `restricted` gives up before its program runs. Loaded by path by the helper.

There are no namespaces: Landlock says which files it may reach, seccomp withholds the network and
the calls that other processes of its uid would have to bear, rlimits bound it. Standard library
and the kernel modules beside only.
"""

from __future__ import annotations

import errno
import json
import os
import resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runyard.worker.sandbox import folders
    from runyard.worker.sandbox.kernel import (
        capabilities,
        landlock,
        policy,
        restricted,
        seccomp,
        syscalls,
    )
else:
    import folders
    from kernel import capabilities, landlock, policy, restricted, seccomp, syscalls

DEVICES = ("null", "zero", "full", "random", "urandom")
OF_ITSELF = ("fd", "maps", "smaps", "stat", "statm", "status", "limits", "cmdline", "comm")
"""Of /proc/self, which would else show the machine's network and mounts too."""
NEVER_TRUNCATED = 3
"""Below this ABI of Landlock files that may not be written can still be cut short by their path."""
HAS = (
    "there is none (Linux 5.13 or later, with 'landlock' in its list of security modules)",
    "this kernel's is older (Linux 6.2 has 3), and tasks run as the worker's own user",
)


class Confinement:
    """What a slot's jobs have in common, made ready once.

    Args:
        text: JSON: `read` (paths that a job may read and execute), `owns_files` (whether its uid
            is the worker's own), `abi` (Landlock's version, or null for the kernel's own).

    Raises:
        OSError, UnsupportedMachine: a job cannot be confined here.
    """

    def __init__(self, text: str) -> None:
        told = json.loads(text)
        self.abi: int = landlock.abi() if told["abi"] is None else told["abi"]
        self.owns_files: bool = told["owns_files"]
        least = NEVER_TRUNCATED if self.owns_files else 1
        if self.abi < least:
            raise OSError(f"Landlock is needed, version {least}: {HAS[self.abi > 0]}")
        self._read = [each for each in told["read"] if os.path.exists(each)]
        self._devices = [f"/dev/{each}" for each in DEVICES if os.path.exists(f"/dev/{each}")]
        self._filter = None
        if self.abi >= landlock.SIGNALS_SCOPED:  # else it is another for each pid
            self._filter = seccomp.prepare(self._program(None))

    def begin(self, order: dict[str, Any]) -> int:
        """Before the job's process changes its uid: bound it, and prepare what it may reach.

        Gives a descriptor for `finish`. Raises OSError.
        """
        uid = os.getuid() if order["uid"] is None else order["uid"]
        most = order["processes"] + processes_of(uid)
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (0, 0))
        # of this very process: its children have others, and can look at nothing there
        itself = [f"/proc/self/{each}" for each in OF_ITSELF]
        return landlock.prepare(
            self.abi,
            read_execute=[*self._read, *(each for each in itself if os.path.exists(each))],
            read_write_in=[order["cwd"], folders.tmp_of(order["cwd"])],
            devices=self._devices,
            tcp=False,
        ).value

    def finish(self, ruleset: int) -> None:
        """When nothing but the exec is left to do: give up the rest, for good. Raises OSError."""
        capabilities.no_new_privs()
        capabilities.drop(bounding=False)
        ready = self._filter or seccomp.prepare(self._program(os.getpid()))
        landlock.apply(self.abi, ruleset)
        os.close(ruleset)
        ready.install()

    def _program(self, pid: int | None) -> bytes:
        rules = restricted.restricted(own_pid=pid, owns_files=self.owns_files)
        if pid is not None:  # Landlock does not hold sockets without a path either
            rules = rules.with_rules({"socket": policy.refuse(errno.EAFNOSUPPORT)})
        if self.abi < NEVER_TRUNCATED:
            rules = rules.with_rules({"truncate": policy.refuse(errno.EPERM)})
        return seccomp.program(syscalls.MACHINE, rules)


def processes_of(uid: int) -> int:
    """Count the processes and threads that a user has now, as far as /proc shows them."""
    count = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}").st_uid == uid:
                    # who has no uid in this user namespace seems to be 65534, and is not
                    os.kill(int(name), 0)
                    count += len(os.listdir(f"/proc/{name}/task"))
            except OSError:  # it has just ended, or is another user's
                continue
    return count
