"""The slot's helper process: starts one job at a time, sees its end, leaves nothing behind.

It runs by itself (``python -I -S launcher.py FD FOLDER [CONFINEMENT]``), with the standard library
and the few modules beside it only, and no user code ever runs in it. With a third argument
(confining.py) each job is confined by it: level `restricted`. Being a child subreaper, it inherits
every process that a job orphans, so "no child is left" means that nothing of the job is left,
whatever it did with sessions and forks.

The worker speaks to it over a SOCK_SEQPACKET socket, one JSON object a packet:
``{"run": ...}`` with six descriptors (the order as JSON, code, stdin, stdout, stderr, files), or
``{"kill": true}``, or ``{"renew": seconds}`` for its lease, or ``{"trace": true}`` to have its
process tell where it is, if it listens for that. It says ``{"ready": true}`` once at its
start; then, for each run, ``{"started": pid}`` and ``{"ended": status, ...}``, or
``{"failed": why}``, after which it is ready again: what a job left is put aside by one rename, and
removed while there is nothing else to do. Where that is not enough, the end says ``"busy"``: all of
it is removed first, and then it says that it is ready. When the socket closes, the worker is gone:
the job dies with it.
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

# What this process holds when it forks shows in what a small task is said to have used: what is
# only for the type checker is not imported, here and in the modules beside.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runyard.worker.sandbox import confining, folders, removal, starting, sweeping
else:  # run by path and isolated: nothing but the standard library is on the path
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    import folders
    import removal
    import starting
    import sweeping

    if len(sys.argv) > 3:
        import confining
    sys.path.pop()

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
MAX_PACKET = 4 * 1024
TRACE_SIGNAL = 60
MEMORY_FILE = "/memfd:runyard"  # as inputs.py names it
GRACE_S = 2.0
KILL_S = 10.0
LAST_TIDY_S = 3.0
CLEAR_AGAIN_S = 1.0


def receive(channel: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """Read one packet with its descriptors; None when the worker is gone, however it went."""
    room = socket.CMSG_SPACE(6 * array.array("i").itemsize)
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


def watch(channel: socket.socket, pid: int, order: dict[str, Any]) -> set[str]:
    """Wait until the job's main process ends, or end it.

    Gives what was seen: ``late`` (past the wall limit), ``forsaken`` (past its lease: the worker
    may be frozen, or cut off from whoever wants the job), ``gone`` (the worker is).
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
                if packet is not None and "trace" in packet:
                    trace(process, pid)
                    continue
                if packet is None:
                    poll.unregister(channel)
                    seen.add("gone")
            elif not ready:
                seen.add(min(ends, key=ends.__getitem__))
            signal.pidfd_send_signal(process, signal.SIGKILL)
    finally:
        os.close(process)


def trace(process: int, pid: int) -> None:
    """Have a process tell where it is; only one that listens, or the signal would end it.

    And only where it would tell us: its descriptor 0 may have become something of its own.
    """
    with contextlib.suppress(OSError, ValueError, StopIteration):
        with open(f"/proc/{pid}/status", "rb") as status:
            line = next(line for line in status if line.startswith(b"SigCgt:"))
        listens = int(line.split()[1], 16) >> (TRACE_SIGNAL - 1) & 1
        if listens and os.readlink(f"/proc/{pid}/fd/0").startswith(MEMORY_FILE):
            signal.pidfd_send_signal(process, TRACE_SIGNAL)


def run(
    channel: socket.socket,
    descriptors: list[int],
    confinement: starting.Confinement | None,
    busy: bool,
) -> bool:
    """Run one job to its end; False when this helper can take no other.

    The worker is told whether it is `busy` after that, and not ready.
    """
    with os.fdopen(os.dup(descriptors[0]), "rb") as file:
        order = json.load(file)
    try:
        folders.furnish(order, descriptors[1], descriptors[5])
        pid, began = starting.spawn(order, descriptors, confinement)
    except OSError as error:
        send(channel, {"failed": str(error)[:500], "busy": busy})
        folders.discard(order)
        os.close(descriptors[5])
        return True
    finally:
        for descriptor in descriptors[:5]:
            os.close(descriptor)
    send(channel, {"started": pid})
    seen = watch(channel, pid, order)
    ended = reaped(pid, began)
    if "gone" not in seen and ended["clean"]:
        folders.collect(order, descriptors[5])
    os.close(descriptors[5])
    if "gone" not in seen:
        told = {"late": "late" in seen, "forsaken": "forsaken" in seen, "busy": busy}
        send(channel, ended | told)
    folders.discard(order)
    return "gone" not in seen and ended["clean"]


def reaped(pid: int, began: float) -> dict[str, Any]:
    """Reap the job's main process, which has ended, and every other one of it; say what was seen.

    Gives its status, whether all are gone, and what they used: all of them together, orphans and
    those that nobody waited for among them, and the main process by itself.
    """
    usage = sweeping.Usage()
    waited_for_s = sweeping.waited_for_s(pid)
    _, status, used = os.wait4(pid, 0)
    wall_s = time.monotonic() - began
    usage.add(used)
    main_cpu_s = max(0.0, usage.cpu_s - waited_for_s)
    clean = sweeping.sweep(KILL_S, usage)
    return {
        "ended": status, "wall_s": wall_s, "cpu_s": usage.cpu_s, "main_cpu_s": main_cpu_s,
        "max_rss_bytes": usage.max_rss_bytes, "clean": clean,
    }  # fmt: skip


def serve(
    channel: socket.socket, folder: str, confinement: starting.Confinement | None = None
) -> None:
    """Run jobs until the worker is gone, or one job's processes will not go."""
    while not folders.clear(folder):
        if select.select([channel], [], [], CLEAR_AGAIN_S)[0]:
            return  # its end, or a job that came early: better failed than kept waiting
    folders.empty(channel, folder)
    send(channel, {"ready": True})
    behind = False
    while True:
        folders.tidy(channel, folder, folders.HOLD_S if behind else folders.TIDY_S)
        packet, descriptors = receive(channel)
        if packet is None:
            return
        if "run" not in packet:
            continue
        # At most three jobs' leavings pile up: the next job waits a little for what is left of two,
        # and is the last one before all is gone, which costs the slot that time, not the disk room.
        left = folders.crowded(folder)
        behind, busy = left, left and behind
        if not run(channel, descriptors, confinement, busy):
            return
        if busy:
            folders.empty(channel, folder)
            behind = False
            send(channel, {"ready": True})


def main() -> None:
    """Serve, then leave as little behind as some seconds allow; the worker removes the rest."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    starting.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        # Caught, not ignored, as CPython and we would have it: exec resets what is caught.
        signal.signal(number, lambda *_: None)
    os.setsid()
    os.umask(0o077)
    confinement = None
    if len(sys.argv) > 3:
        try:
            confinement = confining.Confinement(sys.argv[3])
        except Exception as error:  # noqa: BLE001 (whatever it is, nothing may run)
            folders.complain(str(error))
            raise SystemExit(1) from None
    serve(channel, sys.argv[2], confinement)
    until = time.monotonic() + LAST_TIDY_S
    removal.remove(folders.aside_of(sys.argv[2]), lambda: time.monotonic() < until)


if __name__ == "__main__":
    main()
