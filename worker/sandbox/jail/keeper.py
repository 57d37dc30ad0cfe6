"""Pid 1 of a task's namespaces: mounts what it may see, holds its limits, tells of its end.

It is forked from the zygote and runs no user code. When it ends, the kernel ends whatever is left.
The task can neither see into it (it is undumpable) nor signal it (pid 1 takes no signal from inside
that it has no handler for). Standard library only.
"""

from __future__ import annotations

import _socket
import os
import resource
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any

    from runyard.worker.sandbox import collecting
    from runyard.worker.sandbox.jail import child, packets
    from runyard.worker.sandbox.kernel import capabilities, files, mounts, namespaces, syscalls
else:
    import _signal as signal  # `signal` itself loads enum, and with it half a library

    import child
    import collecting
    import packets
    from kernel import capabilities, files, mounts, namespaces, syscalls

INSIDE = 1000
"""The task's uid and gid as it sees them itself."""
GRACE_S = 2.0
KILL_S = 10.0
NO_TASK = 3
BROKEN = 4
PROC = 4
"""Where a zygote has the machine's /proc if its jail can have none (enter.py)."""
TRACE_SIGNAL = 60
MSG_DONTWAIT = 0x40  # linux/socket.h
MEMORY_FILE = "/memfd:"
GO, TROUBLE = b"go ", b"no "
CPUCLOCK_SCHED = 2  # linux/posix-timers.h
TMPFS = mounts.NOSUID | mounts.NODEV
INODES = 16 * 1024
ALONE = [child.PROGRAM]
SIGACTION = 32  # asm-generic/signal.h, SIG_DFL all of it
MUCH = 1024 * 1024
with syscalls.Noted() as LET_GO:  # or it would still count as the slot's when the next task begins
    for each in ("/dev/shm", "/task", "/tmp"):  # noqa: S108 (of the jail)
        mounts.unmount(each)
with syscalls.Noted() as UNINTERRUPTED:
    syscalls.call("rt_sigaction", signal.SIGINT, bytes(SIGACTION), None, 8)


class Settings:
    """What a zygote is told once: texts between spaces, then names of files, each after a slash.

    Attributes:
        channel: The descriptor of the slot's socket.
        uid, gid: Who the zygote is.
        disk_bytes: How much a task may keep in files unless its order says otherwise.
        proc: ``pid`` where a task's proc can show processes alone, ``all``, or ``none``.
        files: Names in ``/.files`` that are linked to beside the program.
        environment: The variables that a task has already.
        proc_at: The descriptor of a proc whose files about a process itself can be written to.
    """

    def __init__(self, text: str) -> None:
        numbers, *files = text.split("/")
        channel, uid, gid, disk, proc = numbers.split(" ")
        self.channel, self.uid, self.gid = int(channel), int(uid), int(gid)
        self.disk_bytes = int(disk)
        self.proc = proc
        self.files = files
        self.environment = dict(os.environb)
        # a jail's or the machine's: a task's own cannot be written to
        self.proc_at = PROC if proc == "none" else os.open("/proc", os.O_PATH | os.O_DIRECTORY)


def prepare(settings: Settings) -> syscalls.Noted:
    """Note, in the zygote, what every keeper does first: it is alone, and has a task's folders."""
    with syscalls.Noted() as calls:
        capabilities.die_with_parent()
        uid, gid = (INSIDE, settings.uid), (INSIDE, settings.gid)
        namespaces.write_maps("self", uid=uid, gid=gid, at=settings.proc_at)
        furnish(settings)
        capabilities.set_dumpable(False)
    return calls


def keep(channel: Any, settings: Settings, alone: syscalls.Noted, confined: syscalls.Noted) -> None:
    """Be the keeper; returns in the task's process alone."""
    try:
        alone.make()
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            ours.close()
            child.become(channel, theirs, settings, confined)
            return
        UNINTERRUPTED.make()
        theirs.close()
        code = attend(channel, ours, pid, settings)
    except BaseException as error:  # noqa: BLE001 (a clone must never return)
        text = f"a task's keeper: {type(error).__name__}: {error}\n"
        os.write(2, text.encode("utf-8", "replace"))
        code = BROKEN
    os._exit(code)


def furnish(settings: Settings) -> None:
    """Mount the task's own folders, one sized filesystem in all, and its own view of processes."""
    mounts.tmpfs("/mnt", size=settings.disk_bytes, inodes=INODES, mode=0o755)
    for name, mode in (("tmp", 0o1777), ("shm", 0o1777), ("task", 0o700)):
        files.make_folder(f"/mnt/{name}", mode)
        target = {"shm": "/dev/shm"}.get(name, f"/{name}")  # noqa: S108 (of the jail)
        mounts.bind(f"/mnt/{name}", target, recursive=False, flags=0)
    for each in settings.files:
        files.link(f"/.files/{each}", f"/mnt/task/{each}")
    mounts.unmount("/mnt")
    if settings.proc != "none":
        mounts.proc("/proc", subset_pid=settings.proc == "pid")


def attend(channel: Any, child_end: Any, pid: int, settings: Settings) -> int:
    """Wait for the task to come, then to its end; give our exit code."""
    message, rights = packets.receive(child_end)
    if not message.startswith(GO):
        os.waitpid(pid, 0)
        if message.startswith(TROUBLE):
            packets.send(channel, failed=message[len(TROUBLE) :].decode("utf-8", "replace"))
            return 0
        return NO_TASK
    wall, lease, disk, spent, most_file = message[len(GO) :].split()
    if int(disk) != settings.disk_bytes:
        size = f"size={int(disk)},nr_inodes={INODES}"
        mounts.mount(None, "/tmp", None, mounts.MS_REMOUNT | TMPFS, size)  # noqa: S108
        child_end.send(GO)
    began = time.monotonic()
    packets.send(channel, started=pid)
    seen = watch(channel, pid, float(wall), float(lease))
    own_s = own_time(pid)  # the usage of those reaped has its children's in it
    _, status = os.waitpid(pid, 0)
    wall_s = time.monotonic() - began
    clean = sweep(KILL_S)
    trouble = last_word(child_end)
    disk_full, names_full = full("/tmp")  # noqa: S108 (of the jail)
    if trouble and not disk_full and not names_full:
        packets.send(channel, failed=trouble)
        return 0
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    if clean and seen != "gone" and not alone_in(child.FOLDER):
        collecting.Collection(rights[0], int(most_file), release=True).collect(child.FOLDER)
    if holds_much("/tmp"):  # noqa: S108
        LET_GO.make()
    packets.send(
        channel, ended=status, wall_s=wall_s, clean=clean,
        cpu_s=max(0.0, usage.ru_utime + usage.ru_stime - float(spent)),
        main_cpu_s=max(0.0, own_s - float(spent)), max_rss_bytes=usage.ru_maxrss * 1024,
        late=seen == "late", forsaken=seen == "forsaken",
        disk_full=disk_full, names_full=names_full,
    )  # fmt: skip
    return 0


def last_word(child_end: Any) -> str:
    """Give why the task's process could not become the task's, or nothing: it did."""
    try:
        message = child_end.recv(packets.MAX_PACKET, MSG_DONTWAIT)
    except OSError:
        return ""
    return message[len(TROUBLE) :].decode("utf-8", "replace") if message.startswith(TROUBLE) else ""


def watch(channel: Any, pid: int, wall_s: float, lease_s: float) -> str:
    """Wait until the task's main process ends, or end it; say why it was ended, if it was.

    ``late``: past the wall limit. ``forsaken``: past its lease: the worker may be frozen, or cut
    off from whoever wants the task. ``gone``: the worker is.
    """
    process = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.register(channel.fileno(), select.POLLIN)
    late = time.monotonic() + wall_s + GRACE_S
    forsaken = time.monotonic() + lease_s
    seen = ""
    while True:
        left = (min(forsaken, late)) - time.monotonic()
        ready = poll.poll(None if seen else left * 1000 if left > 0 else 0)
        if process in [descriptor for descriptor, _ in ready]:
            return seen
        if ready:
            packet, _ = packets.receive(channel)
            verb, value = packets.verb_of(packet)
            if verb == b"renew":
                forsaken = time.monotonic() + float(value)
                continue
            if verb == b"trace":
                trace(pid)
                continue
            if not packet:
                poll.unregister(channel.fileno())
                seen = "gone"
        else:
            seen = "late" if late < forsaken else "forsaken"
        os.kill(pid, signal.SIGKILL)


def own_time(pid: int) -> float:
    """Give the processor time of a process without its children, until it is reaped.

    By its clock (clock_getcpuclockid(3)): one call, and a jail may have no /proc. 0 where the
    kernel has no such clock, which proves nothing.
    """
    try:
        return time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)
    except OSError:
        return 0.0


def full(folder: str) -> tuple[bool, int]:
    """Say whether there is no room left in bytes, and of how many names none is left, or 0."""
    found = os.statvfs(folder)
    return found.f_bavail == 0, 0 if found.f_favail else found.f_files


def holds_much(folder: str) -> bool:
    """Say whether its file system holds more than what takes no time to go."""
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize > MUCH


def trace(pid: int) -> None:
    """Have the task tell where it is; only one that listens, or the signal would end it.

    And only where it would tell us: its descriptor 0 may have become something of its own.
    """
    try:
        with open(f"/proc/{pid}/status", "rb") as status:
            line = next(line for line in status if line.startswith(b"SigCgt:"))
        listens = int(line.split()[1], 16) >> (TRACE_SIGNAL - 1) & 1
        if listens and os.readlink(f"/proc/{pid}/fd/0").startswith(MEMORY_FILE):
            os.kill(pid, TRACE_SIGNAL)
    except (OSError, ValueError, StopIteration):
        pass


def alone_in(folder: str) -> bool:
    """Say whether a program has left nothing but itself."""
    try:
        return os.listdir(folder) == ALONE
    except OSError:
        return False


def end_all() -> None:
    """Kill every process of these namespaces but this one."""
    try:
        os.kill(-1, signal.SIGKILL)
    except OSError:  # there is none
        return


def sweep(seconds: float) -> bool:
    """End and reap every other process of these namespaces; False if some would not go in time."""
    until = time.monotonic() + seconds
    while True:
        end_all()
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        if time.monotonic() > until:
            return False
        select.select([], [], [], 0.001)
