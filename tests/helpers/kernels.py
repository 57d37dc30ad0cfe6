"""The sandbox's kernel modules, imported as the janitor does, and children to try them in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runyard.worker.sandbox import starting

SANDBOX = str(Path(starting.__file__).parent)

if TYPE_CHECKING:
    from runyard.worker.sandbox.kernel import (
        bpf,
        capabilities,
        files,
        landlock,
        mounts,
        namespaces,
        policy,
        restricted,
        seccomp,
        syscalls,
    )
else:
    sys.path.append(SANDBOX)
    from kernel import (
        bpf,
        capabilities,
        files,
        landlock,
        mounts,
        namespaces,
        policy,
        restricted,
        seccomp,
        syscalls,
    )

    sys.path.remove(SANDBOX)

__all__ = [
    "SANDBOX",
    "bpf",
    "capabilities",
    "each_user",
    "files",
    "landlock",
    "mounts",
    "namespaces",
    "policy",
    "restricted",
    "run",
    "seccomp",
    "syscalls",
]

NOBODY = 65534
PRELUDE = f"""
import os, sys
sys.path.append({SANDBOX!r})
from kernel import capabilities, landlock, mounts, namespaces, policy, restricted, seccomp, syscalls
def become(uid):
    if os.getuid() == uid: return
    os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
    capabilities.set_dumpable(True)
def refused(call, *arguments, **named):
    try: return call(*arguments, **named)
    except OSError as error: return errno.errorcode[error.errno]
import errno
"""

each_user = pytest.mark.parametrize("uid", [0, NOBODY] if os.getuid() == 0 else [os.getuid()])


def run(code: str, *, python: str = sys.executable, stdin: str = "", isolated: bool = True) -> str:
    """Run code after PRELUDE in a process of its own; what it printed. Its errors fail the test."""
    flags = ["-I", "-S"] if isolated else []
    done = subprocess.run(
        [python, *flags, "-c", PRELUDE + code],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), (done.stdout, done.stderr)
    return done.stdout.strip()
