"""What a worker tries at level `restricted` before it trusts it. Runs as a task.

Its arguments: a file of the worker's that its mode lets everybody read, a folder that everybody may
write to, the worker's pid, a port that listens on the machine's loopback, the name of an abstract
socket that listens too. It prints what it got through to, a line each; silence is the right answer.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from collections.abc import Callable

CLONE_NEWUSER = 0x10000000  # linux/sched.h
MOST_FORKS = 64
LIMIT = 8
# linux/posix_acl_xattr.h: version 2; tag, rights and id of owner, group and others
OPEN_TO_ALL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, 6, 0xFFFFFFFF) for tag in (1, 4, 0x20)
)
libc = ctypes.CDLL(None, use_errno=True)


def works(call: Callable[..., object], *arguments: object) -> bool:
    """Whether a call is let through."""
    try:
        call(*arguments)
    except OSError:
        return False
    return True


def reads(path: str) -> bool:
    """Whether a file can be read."""
    return works(lambda: os.read(os.open(path, os.O_RDONLY), 1))


def writes(path: str) -> bool:
    """Whether a file can be made or changed."""
    return works(os.open, path, os.O_WRONLY | os.O_CREAT)


def connects(family: int, address: tuple[str, int] | str) -> bool:
    """Whether a socket can be reached."""

    def connect() -> None:
        with socket.socket(family) as ours:
            ours.settimeout(1)
            ours.connect(address)

    return works(connect)


def forks() -> int:
    """Give how many processes can be made at a time, up to a bound; all of them end."""
    gate, opener = os.pipe()
    made: list[int] = []
    try:
        while len(made) < MOST_FORKS:
            pid = os.fork()
            if pid == 0:
                os.close(opener)
                os.read(gate, 1)
                os._exit(0)
            made.append(pid)
    except OSError:
        pass
    os.close(opener)
    for pid in made:
        os.waitpid(pid, 0)
    return len(made)


def outside(secret: str, shared: str) -> None:
    """Go for files."""
    if reads(secret) or reads("/etc/passwd") or works(os.listdir, "/"):
        print("files of the machine can be read")
    if writes(f"{shared}/x") or writes(secret) or writes("/dev/shm/x"):  # noqa: S108 (the attack)
        print("files outside of the task's folder can be changed")
    if works(os.truncate, f"{shared}/long", 0) or works(os.rename, f"{shared}/long", "here"):
        print("files outside of the task's folder can be cut or moved")
    listed = works(os.setxattr, secret, "system.posix_acl_access", OPEN_TO_ALL)
    if listed or works(os.setxattr, secret, "user.x", b"") or works(os.chmod, secret, 0o666):
        print("modes and attributes of files outside of the task's folder can be set")
    if not writes(f"{os.environ['TMPDIR']}/x") or not writes("/dev/null"):
        print("not even the task's own files can be written")


def others(worker: int, port: int, name: str) -> None:
    """Go for processes and sockets."""
    if reads("/proc/1/environ") or reads(f"/proc/{worker}/environ") or reads("/proc/net/tcp"):
        print("processes of the machine can be looked into")
    if works(os.kill, worker, 0):
        print("processes of the machine can be signalled")
    if connects(socket.AF_INET, ("127.0.0.1", port)):
        print("the machine's own ports can be reached")
    if connects(socket.AF_UNIX, f"\0{name}"):
        print("the machine's abstract sockets can be reached")


def kernel() -> None:
    """Go for what would undo the confinement."""
    if libc.unshare(CLONE_NEWUSER) == 0 or libc.mount(b"x", b".", b"tmpfs", 0, None) == 0:
        print("namespaces or mounts can be made")
    if works(os.setpgid, 0, 0) or works(os.setsid):
        print("the task's session can be left")
    if forks() > LIMIT:
        print("the number of processes is not bounded")


if __name__ == "__main__":
    outside(sys.argv[1], sys.argv[2])
    others(int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
    kernel()
