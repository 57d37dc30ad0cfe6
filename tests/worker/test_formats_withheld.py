"""What a checking child cannot do once it sees outputs, whatever breaks in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import pytest_twisted
from checking import RealChecker
from kernels import landlock, syscalls

from runyard.protocols.formats import Format
from runyard.worker.formats.process import import_path

CODE = """
import sys
sys.path.extend({path!r})
import errno, os, socket, ctypes
from runyard.worker.formats.confine import Bounds, confine
from runyard.worker.formats import withhold
{before}
alone = confine(Bounds({ids}), os.getppid())
missing = withhold.withhold()
def refused(call, *given):
    try: return call(*given)
    except OSError as error: return errno.errorcode[error.errno]
call = withhold.syscalls.call
print(missing, flush=True)
print(refused(open, '/etc/hostname'), refused(os.listdir, '/'), refused(open, '/dev/null', 'w'))
print(refused(socket.socket, socket.AF_UNIX), refused(socket.socketpair))
print(refused(socket.socket, socket.AF_INET))
print(refused(call, 'unshare', 0x10000000), refused(call, 'ptrace', 16, os.getppid(), 0, 0))
print(refused(os.fork), refused(os.kill, os.getppid(), 0), refused(os.execv, '/bin/true', ['true']))
"""


def child(before: str = "") -> list[str]:
    """Do to a process what a checking child does to itself; what it can do then."""
    ids = "uid=65534, gid=65534" if os.geteuid() == 0 else ""
    code = CODE.format(path=import_path(), ids=ids, before=before)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.splitlines()


@pytest.mark.skipif(syscalls.MACHINE not in syscalls.MACHINES, reason="not our machine")
def test_it_has_no_files_sockets_or_processes() -> None:
    if not landlock.abi():
        pytest.skip("no Landlock")
    assert child() == [
        "[]",
        "EACCES EACCES EACCES",
        "EAFNOSUPPORT EAFNOSUPPORT",
        "EAFNOSUPPORT",
        "EPERM EPERM",
        "EAGAIN EPERM EACCES",
    ]


def test_what_the_kernel_does_not_have_is_named() -> None:
    assert child("withhold.landlock.abi = lambda: 0")[0] == "['landlock']"
    without = "def missing(*_): raise withhold.syscalls.UnsupportedMachine\n"
    assert child(without + "withhold.seccomp.program = missing")[0] == "['seccomp']"


def filtered(pid: int) -> bool:
    return "\nSeccomp:\t2\n" in Path(f"/proc/{pid}/status").read_text()


@pytest_twisted.ensureDeferred
async def test_a_ready_child_says_what_it_has_not() -> None:
    async with RealChecker(children=1) as real:
        assert (await real.checker.check(Format("json"), b"1")).ok
        missing = [] if landlock.abi() else ["landlock"]
        assert real.said[0] == {"ready": True, "network": False, "missing": missing}
        (pid,) = real.pids()
        assert filtered(pid)
