"""A worker's janitor: starts its zygotes, and ends them however the worker goes.

It runs by itself (``python -I -S janitor.py FD``), with the standard library only, and holds what
the worker may not lose: a pidfd of each zygote and the paths of its control groups. No user code
ever runs in it.

The worker speaks to it over a SOCK_SEQPACKET socket, one JSON object a packet: ``{"layout": true}``
first, with a descriptor that holds the layout (root.py), then ``{"zygote": id, "groups": [folder],
"uid": number or null, "env": {}, "argv": [], "settings": [], "files": []}`` with the slot's socket,
and ``{"end": id}``. It says ``{"zygote": id, "pid": pid}`` with a pidfd, or ``{"zygote": id,
"failed": why}``, and ``{"zygote": id, "exited": status}``, with ``"failed"`` too where it had to
end one that it had started. The worker then reads the groups' counters, and removes them. When its
socket closes, all of them end, their groups are removed, and it ends itself.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runyard.worker.sandbox.jail import enter
    from runyard.worker.sandbox.kernel import namespaces
else:  # run by path and isolated: nothing but the standard library is on the path
    sys.path[:0] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
    from jail import enter
    from kernel import namespaces

    del sys.path[0]

OF_A_SLOT = (
    namespaces.NEWNS | namespaces.NEWPID | namespaces.NEWNET | namespaces.NEWIPC | namespaces.NEWUTS
)
MAX_PACKET = 64 * 1024
MOST_LAYOUT = 1024 * 1024
INT = array.array("i").itemsize
GROUP_S = 2.0


class Zygote:
    """One that runs."""

    def __init__(self, pid: int, pidfd: int, groups: list[str]) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.groups = groups
        self.failed = ""


class Janitor:
    """Serves one worker."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._layout: dict[str, Any] = {}
        self._zygotes: dict[int, Zygote] = {}
        self._groups: set[str] = set()

    def serve(self) -> None:
        """Do what the worker asks until it is gone; then leave nothing."""
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        watched: set[int] = set()
        while True:
            for pidfd in {each.pidfd for each in self._zygotes.values()} - watched:
                poll.register(pidfd, select.POLLIN)
                watched.add(pidfd)
            ready = {descriptor for descriptor, _ in poll.poll()}
            for name, zygote in list(self._zygotes.items()):
                if zygote.pidfd in ready:
                    poll.unregister(zygote.pidfd)
                    watched.discard(zygote.pidfd)
                    self._reap(name)
            if self._channel.fileno() in ready and not self._packet():
                break
        self._end_all()

    def _packet(self) -> bool:
        packet, descriptors = self._receive()
        try:
            if packet is None:
                return False
            if "layout" in packet:
                if not descriptors:  # there was none free for it: the worker starts another of us
                    return False
                size = min(os.fstat(descriptors[0]).st_size, MOST_LAYOUT)
                self._layout = json.loads(os.pread(descriptors[0], size, 0))
            elif "zygote" in packet:
                self._start(packet, descriptors)
            elif "end" in packet and packet["end"] in self._zygotes:
                self._kill(self._zygotes[packet["end"]])
            return True
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _receive(self) -> tuple[dict[str, Any] | None, list[int]]:
        try:
            data, ancillary, _, _ = self._channel.recvmsg(
                MAX_PACKET, socket.CMSG_SPACE(2 * INT), socket.MSG_CMSG_CLOEXEC
            )
        except OSError:
            return None, []
        descriptors = array.array("i")
        for _, _, payload in ancillary:
            descriptors.frombytes(payload[: len(payload) - len(payload) % INT])
        return (json.loads(data) if data else None), list(descriptors)

    def _start(self, packet: dict[str, Any], descriptors: list[int]) -> None:
        name, groups = packet["zygote"], packet["groups"]
        gate = opener = -1
        try:
            if not descriptors:
                raise OSError("its socket did not come: no descriptor is free")
            gate, opener = os.pipe()
            flags = OF_A_SLOT
            if packet["uid"] is None:
                flags |= namespaces.NEWUSER
            pid, pidfd = namespaces.clone3(flags, pidfd=True)
            if pid == 0:
                os.close(opener)
                enter.enter(self._layout, packet, descriptors[0], gate)
            self._zygotes[name] = Zygote(pid, pidfd, groups)
            for group in groups:
                with open(f"{group}/cgroup.procs", "w") as file:
                    file.write(str(pid))
            os.write(opener, b"\n")
            self._tell({"zygote": name, "pid": pid}, [pidfd])
        except OSError as error:
            if name in self._zygotes:  # it has ended when it is reaped, and is told then
                self._zygotes[name].failed = str(error)[:500]
                self._kill(self._zygotes[name])
            else:
                self._tell({"zygote": name, "failed": str(error)[:500]})
        finally:
            for end in (gate, opener):
                if end >= 0:
                    os.close(end)

    def _tell(self, packet: dict[str, Any], descriptors: list[int] | None = None) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors or []))]
        with contextlib.suppress(OSError):
            self._channel.sendmsg([json.dumps(packet).encode()], rights if descriptors else [])

    def _kill(self, zygote: Zygote) -> None:
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(zygote.pidfd, signal.SIGKILL)

    def _reap(self, name: int) -> None:
        zygote = self._zygotes.pop(name)
        _, status = os.waitpid(zygote.pid, 0)
        os.close(zygote.pidfd)
        self._groups.update(zygote.groups)
        self._groups = {each for each in self._groups if os.path.isdir(each)}
        failed = {"failed": zygote.failed} if zygote.failed else {}
        self._tell({"zygote": name, "exited": status} | failed)

    def _end_all(self) -> None:
        for zygote in self._zygotes.values():
            self._kill(zygote)
        for zygote in self._zygotes.values():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(zygote.pid, 0)
            self._groups.update(zygote.groups)
        remove_groups(sorted(self._groups), GROUP_S)


def remove_groups(groups: list[str], seconds: float) -> bool:
    """Remove control groups in which nothing is left; whether all are gone."""
    until = time.monotonic() + seconds
    left = list(groups)
    while left:
        for group in list(left):
            try:
                os.rmdir(group)
            except FileNotFoundError:
                pass
            except OSError:  # EBUSY: the kernel is not done with who was in it
                continue
            left.remove(group)
        if not left or time.monotonic() > until:
            break
        select.select([], [], [], 0.005)
    return not left


def main() -> None:
    """Serve the worker whose socket the argument names."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)  # it ends with its worker, and not before
    os.setsid()
    os.umask(0o022)
    Janitor(channel).serve()


if __name__ == "__main__":
    main()
