"""What a worker tries from inside of its own jail before it trusts it. Runs as a task.

Its arguments: a file of the worker's, the worker's pid, a port that listens on the machine's
loopback. It prints what it got through to, a line each; silence is the right answer.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys

CLONE_NEWUSER = 0x10000000  # linux/sched.h
MOST_FORKS = 64
LIMIT = 8
libc = ctypes.CDLL(None, use_errno=True)


def reads(path: str) -> bool:
    """Whether a file can be opened."""
    try:
        with open(path, "rb") as file:
            file.read(1)
    except OSError:
        return False
    return True


def writes(path: str) -> bool:
    """Whether a file can be made."""
    try:
        with open(path, "wb"):
            return True
    except OSError:
        return False


def sees(pid: int) -> bool:
    """Whether a process is there that is none of ours."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()


def connects(port: int) -> bool:
    """Whether the machine's loopback can be reached."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


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


def main(secret: str, worker: int, port: int) -> None:
    """Try each, and say what should not have been."""
    if reads(secret) or reads("/etc/shadow"):
        print("files of the machine can be read")
    if reads("/proc/1/environ") or reads(f"/proc/1/root{secret}"):
        print("the keeper's process can be looked into")
    if any(writes(f"{folder}/x") for folder in ("", "/usr", "/etc", "/dev", "/.runyard")):
        print("the jail's own files can be changed")
    if sees(worker):
        print("processes of the machine can be seen")
    if connects(port):
        print("the machine's own ports can be reached")
    if libc.unshare(CLONE_NEWUSER) == 0:
        print("namespaces can be made")
    if libc.mount(b"x", b"/tmp", b"tmpfs", 0, None) == 0:
        print("filesystems can be mounted")
    if forks() > LIMIT:
        print("the number of processes is not bounded")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
