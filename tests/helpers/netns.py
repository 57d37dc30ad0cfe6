"""A program that is alone in a network namespace, with a listening socket that comes out of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from runyard.worker.network.environment import environment

# The namespace is made by the child itself; as an ordinary user it needs one for users too.
CHILD = """
import ctypes, fcntl, os, socket, struct, sys
NEWNET, NEWUSER, SIOCSIFFLAGS, UP = 0x40000000, 0x10000000, 0x8914, 1
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(NEWNET if os.geteuid() == 0 else NEWNET | NEWUSER) != 0:
    sys.exit(77)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
    fcntl.ioctl(asking, SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", UP, b""))
with socket.socket(fileno=int(sys.argv[1])) as out:
    listening = socket.create_server(("127.0.0.1", int(sys.argv[2])), backlog=128)
    socket.send_fds(out, [b"x"], [listening.fileno()])
    listening.close()
    out.recv(1)
exec(compile(sys.stdin.read(), "client", "exec"), {"__name__": "__main__"})
"""
PORT = 3128


class Alone:
    """A child in its own network namespace; `listening` was made there."""

    def __init__(self) -> None:
        ours, its = socket.socketpair()
        self._control = ours
        self._process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(its.fileno()), str(PORT)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=[its.fileno()], env=environment(PORT) | {"PATH": os.environ["PATH"]},
        )  # fmt: skip
        its.close()
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        if not descriptors:
            self.close()
            raise RuntimeError(f"no network namespace: status {self._process.returncode}")
        self.listening = socket.socket(fileno=descriptors[0])

    def run(self, code: str) -> Deferred[Any]:
        """Run a program there; fires with what it printed, read as JSON."""
        self._control.send(b"g")
        return deferToThread(self._communicate, code)

    def _communicate(self, code: str) -> Any:
        out, errors = self._process.communicate(code.encode(), timeout=60)
        assert self._process.returncode == 0, errors.decode()[-2000:]
        return json.loads(out)

    def close(self) -> None:
        """End it."""
        self._control.close()
        self._process.kill()
        self._process.communicate()
