"""The program that makes an outer box and keeps it: ``python -I -S box_inside.py ORDER``.

ORDER is JSON (box.py writes it). Three processes: the *keeper* (outside; makes the control groups,
holds the wall limit, removes the groups), a *gate* in the new namespaces, and the box's *first*
process, which furnishes the box, runs the program, and tells what it left. When the first process
ends the kernel ends all others of its pid namespace, and the keeper, a subreaper, waits for that.
When the keeper's stdin closes, whoever ordered the box is gone: all ends then too.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any

sys.path.append(os.path.dirname(os.path.abspath(__file__)))
import box_groups
import box_mounts

sys.path.pop()

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER = 1, 24, 36
NEW_MOUNTS, NEW_UTS, NEW_IPC = 0x20000, 0x4000000, 0x8000000
NEW_USER, NEW_PIDS, NEW_NET, NEW_GROUPS = 0x10000000, 0x20000000, 0x40000000, 0x2000000
NEEDLESS = (9, 16, 17, 20, 22, 25, 26, 30, 32, 33, 34, 35, 36)
"""Capabilities over the whole machine that no worker needs: modules, raw I/O, boot, clock, logs."""
CAP_MKNOD = 27
GRACE_S = 1.0
BROKEN = 125


def prctl(option: int, value: int) -> None:
    """Call prctl(2). Raises OSError."""
    box_mounts.checked(LIBC.prctl(option, value, 0, 0, 0), f"prctl {option}")


def tell(report: int, **facts: Any) -> None:
    """Write facts for whoever ordered the box, a line of JSON."""
    os.write(report, json.dumps(facts).encode() + b"\n")


def unshare(flags: int) -> None:
    """Call unshare(2). Raises OSError."""
    box_mounts.checked(LIBC.unshare(flags), f"unshare {flags:#x}")


def enter_namespaces(order: dict[str, Any]) -> None:
    """Enter new namespaces; the next child is the first process of the new pid namespace."""
    uid, gid = os.getuid(), os.getgid()
    if order["user"]:
        unshare(NEW_USER)
        for name, value in (
            ("setgroups", "deny"),
            ("uid_map", f"0 {uid} 1"),
            ("gid_map", f"0 {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="utf-8") as file:
                file.write(value)
    unshare(NEW_MOUNTS | NEW_UTS | NEW_IPC | NEW_PIDS | NEW_NET | NEW_GROUPS)


def run_program(order: dict[str, Any], controllers: list[str]) -> int:
    """Become the program in a child; gives its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        prctl(PR_SET_PDEATHSIG, 0)
        for capability in [*NEEDLESS, *([] if "devices" in controllers else [CAP_MKNOD])]:
            with contextlib.suppress(OSError):  # one that this kernel does not know
                prctl(PR_CAPBSET_DROP, capability)
        if order["user"]:
            import resource

            resource.setrlimit(resource.RLIMIT_NPROC, (order["pids"], order["pids"]))
            resource.setrlimit(resource.RLIMIT_AS, (order["memory"], order["memory"]))
        if order["uid"] is not None:
            os.setgroups([])
            os.setresgid(*(order["uid"],) * 3)
            os.setresuid(*(order["uid"],) * 3)
        os.setsid()
        os.chdir(order["cwd"])
        os.execve(order["argv"][0], order["argv"], order["env"])
    finally:
        os._exit(BROKEN)


def others() -> list[str]:
    """List the other live processes of the box, by their command lines."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or name == "1":
            continue
        with contextlib.suppress(OSError, IndexError):
            with open(f"/proc/{name}/stat", "rb") as file:
                stat = file.read()
            with open(f"/proc/{name}/cmdline", "rb") as file:
                line = file.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
            if stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X"):
                found.append(f"{name} {line}")
    return found


def settled() -> list[str]:
    """Give what still runs when what was about to end has had the time for it."""
    until = time.monotonic() + GRACE_S
    while left := others():
        if time.monotonic() > until:
            return left
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)
    return []


def first(order: dict[str, Any], controllers: list[str], report: int) -> None:
    """Be the first process of the box: furnish it, run the program, tell what is left."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        socket.sethostname(order["host"])
        box_mounts.furnish(order["tmp"], order["shm"], controllers, order["masked"])
    except (OSError, ValueError) as error:
        tell(report, failed=f"the box cannot be furnished: {error}")
        return
    before = box_mounts.points()
    program = run_program(order, controllers)
    status = None
    while status is None:
        pid, ended = os.waitpid(-1, 0)
        status = ended if pid == program else None
    groups = (
        [g for root in os.scandir("/sys/fs/cgroup") for g in box_groups.below(root.path)]
        if controllers
        else []
    )
    tell(
        report, status=status, processes=settled(), groups=groups,
        mounts=[point for point in box_mounts.points() if point not in before],
    )  # fmt: skip


def gate(order: dict[str, Any], groups: dict[str, str], report: int) -> None:
    """Enter groups and namespaces, and wait for the first process that is forked into them."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    try:
        box_groups.enter(groups)
        enter_namespaces(order)
    except OSError as error:
        tell(report, failed=f"the box cannot be entered: {error}")
        return
    if os.fork() == 0:
        try:
            first(order, list(groups), report)
        except BaseException as error:  # noqa: BLE001 (told, whatever it is)
            tell(report, failed=f"the box's first process: {error!r}")
        finally:
            os._exit(0)
    os.wait()


def keep(order: dict[str, Any], child: int) -> tuple[bool, bool]:
    """Wait for the gate's end, or end it; whether that was at the wall limit, or given up."""
    process = os.pidfd_open(child)
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.register(0, select.POLLIN | select.POLLHUP)
    ready = {fd for fd, _ in poll.poll(order["wall_s"] * 1000)}
    if process not in ready:
        signal.pidfd_send_signal(process, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while (
            True
        ):  # the gate, then the first process, which ends after all others of its namespace
            os.waitpid(-1, 0)
    return not ready, process not in ready and bool(ready)


def main() -> None:
    """Make a box, keep it to its end, tell what is left of it."""
    order = json.loads(sys.argv[1])
    report = order["report"]
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    groups: dict[str, str] = {}
    if not order["user"]:
        groups = box_groups.make(order["host"], order["memory"], order["pids"], order["cpus"])
    missing = [] if order["user"] else [name for name in ("memory", "pids") if name not in groups]
    late = False
    if missing:
        tell(report, failed=f"no control group here for: {', '.join(missing)}")
    else:
        child = os.fork()
        if child == 0:
            try:
                gate(order, groups, report)
            finally:
                os._exit(0)
        late, _ = keep(order, child)
    remaining = [pid for folder in set(groups.values()) for pid in box_groups.inside(folder)]
    tell(
        report,
        late=late,
        remaining=sorted(set(remaining)),
        held=sorted(groups),
        stuck=box_groups.remove(groups),
    )


if __name__ == "__main__":
    main()
