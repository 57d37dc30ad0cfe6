"""The task's own process, before it is the task's: confined, warm, waiting for what to run.

It is forked by the keeper. All that can be given up is given up before a task comes, so that little
is left to do then. Standard library only.
"""

from __future__ import annotations

import os
import resource
import struct
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runyard.worker.sandbox import collecting, inspecting
    from runyard.worker.sandbox.jail import leaving, packets, wayout
    from runyard.worker.sandbox.jail import order as orders
    from runyard.worker.sandbox.kernel import (
        capabilities,
        files,
        landlock,
        policy,
        seccomp,
        syscalls,
    )
else:
    import collecting
    import inspecting
    import leaving
    import order as orders
    import packets
    import wayout
    from kernel import capabilities, files, landlock, policy, seccomp, syscalls

MOST_DESCRIPTORS = 4096
OPEN_FILES = 1024
LIMITS = (
    (resource.RLIMIT_CORE, 0),
    (resource.RLIMIT_NOFILE, OPEN_FILES),
    (resource.RLIMIT_MEMLOCK, 0),
    (resource.RLIMIT_MSGQUEUE, 0),
)
PROGRAM = "main.py"
FOLDER = "/task"
WRITABLE = ("/tmp", FOLDER, "/dev/shm")  # noqa: S108 (of the jail)
FILTER = seccomp.prepare(seccomp.program(syscalls.MACHINE, policy.NAMESPACED))
LANDLOCK = landlock.abi()


def become(channel: Any, keeper: Any, settings: Any, confined: syscalls.Noted) -> None:
    """Confine this process, wait for a task, and return when it is to be run by the interpreter."""
    try:
        confined.make()
        packets.send(channel, ready=True)
        received = wait(channel)
        if received is None:
            os._exit(0)
        begin(received, channel, keeper, settings)
    except BaseException as error:  # noqa: BLE001 (told to the keeper, or to nobody)
        text = f"no {type(error).__name__}: {error}"[:500]
        try:
            keeper.send(text.encode("utf-8", "replace"))
        finally:
            os._exit(1)


def prepare(proc_at: int) -> syscalls.Noted:
    """Note, in the zygote, how each task's process gives up everything that it may not have."""
    with syscalls.Noted() as calls:
        capabilities.die_with_parent()
        capabilities.set_dumpable(True)
        # where memory runs out, the task is killed rather than who runs it
        files.write("self/oom_score_adj", "1000", proc_at)
        files.close(proc_at)
        syscalls.call("setsid")
        files.enter(FOLDER)
        for number, most in LIMITS:
            hard = resource.getrlimit(number)[1]
            value = most if hard == resource.RLIM_INFINITY else min(most, hard)
            syscalls.call("prlimit64", 0, number, struct.pack("=2Q", value, value), None)
        capabilities.no_new_privs()
        capabilities.drop(bounding=False)
        if LANDLOCK:
            ruleset = landlock.prepare(
                LANDLOCK, read_execute=["/"], read_write_in=WRITABLE, devices=["/dev"]
            )
            landlock.apply(LANDLOCK, ruleset)
            files.close(ruleset)
        FILTER.install()
    return calls


def wait(channel: Any) -> list[int] | None:
    """Wait for a task; its descriptors, or None when the worker is gone."""
    while True:
        packet, descriptors = packets.receive(channel)
        if not packet:
            return None
        if packets.verb_of(packet)[0] == b"run":
            return descriptors
        for descriptor in descriptors:
            os.close(descriptor)


def begin(descriptors: list[int], channel: Any, keeper: Any, settings: Any) -> None:
    """Take a task's limits, program, streams, arguments and variables."""
    order = orders.unpack(read_all(descriptors[0]))
    wayout.make(channel, order)
    channel.close()
    spent = time.process_time()
    most_file = next(soft for each, soft, _ in order.rlimits if each == resource.RLIMIT_FSIZE)
    numbers = order.wall_s, order.lease_s, order.disk_bytes, spent, most_file
    packets.pass_on(keeper, b"go %r %r %d %r %d" % numbers, descriptors[5])
    if order.disk_bytes != settings.disk_bytes:
        keeper.recv(16)
    furnish(descriptors)
    for target, source in enumerate(descriptors[2:5]):
        os.dup2(source, target)
    close_but(keeper)
    for number, soft, hard in order.rlimits:
        bound(number, soft, hard)
    if order.exec_argv:  # where that fails the keeper is told; where it succeeds its socket closes
        os.execve(order.exec_argv[0], order.exec_argv, variables(order.env))  # noqa: S606
    keeper.close()
    wanted = variables(order.env)
    if wanted != settings.environment:
        for name in os.environb.keys() - wanted.keys():
            del os.environb[name]
        os.environb.update(wanted)
    arguments = [os.fsdecode(each) for each in order.args]
    sys.argv[1:] = arguments
    if hasattr(sys, "orig_argv"):
        sys.orig_argv += arguments
    leaving.arm()
    inspecting.begin()


def furnish(descriptors: list[int]) -> None:
    """Put the program into its folder, and its files beside it."""
    program = os.open(PROGRAM, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    code = read_all(descriptors[1])
    while code:
        code = code[os.write(program, code) :]
    os.close(program)
    try:
        collecting.place(FOLDER, descriptors[5])
    except OSError as error:  # too late to be told to the keeper
        os.write(descriptors[4], f"The task's files cannot be put there: {error}\n".encode())
        os._exit(1)


def close_but(keeper: Any) -> None:
    """Close every descriptor but the standard ones and the keeper's socket."""
    kept = keeper.fileno()
    os.closerange(3, kept)
    os.closerange(kept + 1, MOST_DESCRIPTORS)


def bound(number: int, soft: int, hard: int) -> None:
    """Set a limit, or the one that this process has already where that is less."""
    most = resource.getrlimit(number)[1]
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(number, (soft, hard))


def variables(texts: list[bytes]) -> dict[bytes, bytes]:
    """Split ``NAME=VALUE`` each."""
    return dict(each.partition(b"=")[::2] for each in texts)


def read_all(descriptor: int) -> bytes:
    """Read a memory file whole."""
    size = os.fstat(descriptor).st_size
    data = os.pread(descriptor, size, 0)
    while len(data) < size:
        piece = os.pread(descriptor, size - len(data), len(data))
        if not piece:
            raise EOFError("a task's input is shorter than it was")
        data += piece
    return data
