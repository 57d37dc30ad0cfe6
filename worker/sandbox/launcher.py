"""The slot's helper process: starts one job at a time, sees its end, leaves nothing behind.

It runs by itself (``python -I -S launcher.py FD FOLDER``), with the standard library only, and no
user code ever runs in it. Being a child subreaper, it inherits every process that a job orphans, so
"no child is left" means that nothing of the job is left, whatever it did with sessions and forks.

The worker speaks to it over a SOCK_SEQPACKET socket, one JSON object a packet:
``{"run": ...}`` with five descriptors (the order as JSON, code, stdin, stdout, stderr), or
``{"kill": true}``, or ``{"renew": seconds}`` for its lease; it answers ``{"started": pid}``, then ``{"ended": status, ...}``, or
``{"failed": why}``. When the socket closes, the worker is gone: the job dies with it.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import json
import os
import resource
import select
import shutil
import signal
import socket
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36
MAX_PACKET = 4 * 1024
MAX_DESCRIPTORS = 4096
REPORT = 3
GRACE_S = 2.0
KILL_S = 10.0

_prctl = ctypes.CDLL(None, use_errno=True).prctl


def receive(channel: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """Read one packet with its descriptors; None when the worker is gone, however it went."""
    room = socket.CMSG_SPACE(5 * array.array("i").itemsize)
    try:
        data, ancillary, _, _ = channel.recvmsg(MAX_PACKET, room)
    except OSError:  # ECONNRESET where packets of ours were still unread
        return None, []
    descriptors = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
    return (json.loads(data) if data else None), list(descriptors)


def send(channel: socket.socket, packet: dict[str, Any]) -> None:
    """Tell the worker; one that is gone is noticed when we read."""
    with contextlib.suppress(OSError):
        channel.send(json.dumps(packet).encode())


def become(order: dict[str, Any], descriptors: list[int], launcher: int) -> None:
    """Turn this forked child into the job; returns only by raising."""
    os.setsid()
    for target, source in enumerate(descriptors[2:]):
        os.dup2(source, target)
    os.closerange(REPORT + 1, MAX_DESCRIPTORS)
    for name, (soft, hard) in order["rlimits"].items():
        resource.setrlimit(getattr(resource, name), (soft, hard))
    if order["uid"] is not None:
        os.setgroups([])
        os.setresgid(order["gid"], order["gid"], order["gid"])
        os.setresuid(order["uid"], order["uid"], order["uid"])
    # After setresuid, which clears it: the job must not outlive this process.
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != launcher:
        raise OSError("the helper ended while the job was started")
    os.chdir(order["cwd"])
    os.execve(order["argv"][0], order["argv"], order["env"])  # noqa: S606 (that is our purpose)


def furnish(order: dict[str, Any], code: int) -> None:
    """Make the job's folder: the program, an empty tmp, links to the operator's task files."""
    cwd = order["cwd"]
    os.mkdir(cwd, 0o700)
    os.mkdir(os.path.join(cwd, "tmp"), 0o700)
    program = os.path.join(cwd, order["program"])
    with open(program, "wb") as target, os.fdopen(os.dup(code), "rb") as source:
        shutil.copyfileobj(source, target)
    for name, path in order["task_files"]:
        os.symlink(path, os.path.join(cwd, name))
    if order["uid"] is not None:
        for path in (program, os.path.join(cwd, "tmp"), cwd):
            os.chown(path, order["uid"], order["gid"])


def discard(order: dict[str, Any]) -> None:
    """Remove the job's folder: quickly where it holds only what we made."""
    cwd = order["cwd"]
    try:
        for name in (order["program"], *(name for name, _ in order["task_files"])):
            os.unlink(os.path.join(cwd, name))
        os.rmdir(os.path.join(cwd, "tmp"))
        os.rmdir(cwd)
    except OSError:
        shutil.rmtree(cwd, ignore_errors=True)


def spawn(order: dict[str, Any], descriptors: list[int]) -> int:
    """Fork the job; give its pid. Raises OSError with what stopped it before its exec."""
    report, write_end = os.pipe()
    launcher = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(write_end, REPORT, inheritable=False)
            become(order, descriptors, launcher)
        except BaseException as error:  # noqa: BLE001 (a forked child must never return)
            os.write(REPORT, f"{type(error).__name__}: {error}".encode()[:1000])
        finally:
            os._exit(127)
    os.close(write_end)
    trouble = os.read(report, 1000)
    os.close(report)
    if trouble:
        os.waitpid(pid, 0)
        raise OSError(trouble.decode("utf-8", "replace"))
    return pid


def children_of(parents: set[int]) -> list[int]:
    """List all living descendants of some processes, by /proc."""
    table = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
                table.append((int(name), int(fields[1])))
            except OSError:
                continue
    found = set(parents)
    grown = True
    while grown:
        grown = False
        for pid, parent in table:
            if parent in found and pid not in found:
                found.add(pid)
                grown = True
    return list(found - parents)


def sweep() -> bool:
    """End and reap every process below this one; False if some would not go."""
    until = time.monotonic() + KILL_S
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        for pid in children_of({os.getpid()}):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > until:
            return False
        select.select([], [], [], 0.001)


def watch(channel: socket.socket, pid: int, order: dict[str, Any]) -> set[str]:
    """Wait until the job's main process ends, or end it.

    Gives what was seen: ``late`` (past the wall limit), ``forsaken`` (past its lease: the worker may
    be frozen, or cut off from whoever wants the job), ``gone`` (the worker is).
    """
    process = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.register(channel, select.POLLIN)
    now = time.monotonic()
    ends = {"late": now + order["wall_s"] + GRACE_S, "forsaken": now + order["lease_s"]}
    seen: set[str] = set()
    try:
        while True:
            left = max(0.0, min(ends.values()) - time.monotonic())
            ready = {fd for fd, _ in poll.poll(None if seen else left * 1000)}
            if process in ready:
                return seen
            if channel.fileno() in ready:
                packet, _ = receive(channel)
                if packet is not None and "renew" in packet:
                    ends["forsaken"] = time.monotonic() + packet["renew"]
                    continue
                if packet is None:
                    poll.unregister(channel)
                    seen.add("gone")
            elif not ready:
                seen.add(min(ends, key=ends.__getitem__))
            signal.pidfd_send_signal(process, signal.SIGKILL)
    finally:
        os.close(process)


def run(channel: socket.socket, descriptors: list[int]) -> bool:
    """Run one job to its end; False when the worker is gone."""
    with os.fdopen(os.dup(descriptors[0]), "rb") as file:
        order = json.load(file)
    try:
        furnish(order, descriptors[1])
        pid = spawn(order, descriptors)
    except OSError as error:
        send(channel, {"failed": str(error)[:500]})
        discard(order)
        return True
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    send(channel, {"started": pid})
    began = time.monotonic()
    seen = watch(channel, pid, order)
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - began
    clean = sweep()
    if "gone" not in seen:
        send(
            channel,
            {
                "ended": status, "wall_s": wall, "cpu_s": usage.ru_utime + usage.ru_stime,
                "max_rss_bytes": usage.ru_maxrss * 1024, "clean": clean, "late": "late" in seen,
                "forsaken": "forsaken" in seen,
            },
        )  # fmt: skip
    discard(order)
    return "gone" not in seen and clean


def clear(folder: str) -> None:
    """Make the slot's folder, without what a helper that was killed has left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    os.chmod(folder, 0o711)  # noqa: S103 (tasks enter it, and cannot list it)


def main() -> None:
    """Serve until the worker is gone."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    _prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        # Caught, not ignored, as CPython and we would have it: exec resets what is caught.
        signal.signal(number, lambda *_: None)
    os.setsid()
    os.umask(0o077)
    clear(sys.argv[2])
    while True:
        packet, descriptors = receive(channel)
        if packet is None:
            return
        if "run" in packet and not run(channel, descriptors):
            return


if __name__ == "__main__":
    main()
