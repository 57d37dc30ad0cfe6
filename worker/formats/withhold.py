"""What the kernel withholds from the checking child in addition. Runs in the child alone.

The kernel's modules are loaded by path, as the sandbox's helpers load them.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runyard.worker.sandbox.kernel import landlock, policy, seccomp, syscalls
else:
    sys.path.append(str(Path(__file__).parents[1] / "sandbox"))
    from kernel import landlock, policy, seccomp, syscalls

    sys.path.pop()

_NO_SOCKETS = policy.refuse(errno.EAFNOSUPPORT)
RULES = policy.NAMESPACED.with_rules({"socket": _NO_SOCKETS, "socketpair": _NO_SOCKETS})


def withhold() -> list[str]:
    """Give up all files, and the calls that no check makes; name what this kernel does not have.

    No privileges may be to be had by exec any more (no_new_privs).
    """
    missing = []
    for name, hold in (("landlock", _files), ("seccomp", _calls)):
        try:
            hold()
        except (OSError, syscalls.UnsupportedMachine):
            missing.append(name)
    return missing


def _files() -> None:
    version = landlock.abi()
    ruleset = landlock.prepare(version, tcp=False).value
    try:
        landlock.apply(version, ruleset)
    finally:
        os.close(ruleset)


def _calls() -> None:
    seccomp.install(seccomp.program(syscalls.MACHINE, RULES))
