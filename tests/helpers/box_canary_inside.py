"""The harmless program that proves a box from the inside: ``box_canary_inside.py FACTS``.

FACTS is JSON: the marker process and file outside, the box's size. One line a check is printed:
its name, and "holds" or what is wrong. It never sends a signal other than 0 to a process that is
not its own child, and writes nothing outside of the box's fresh places.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import signal
import socket
import stat
import sys
from collections.abc import Callable
from typing import Any

Facts = dict[str, Any]
MADV_HUGEPAGE = 14
DONE = b"."


def marker_process(facts: Facts) -> str:
    """The process outside is not seen, and cannot be signalled (tried with signal 0)."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
            line = file.read().split(b"\0")
            if facts["marker"].encode() in line and int(name) != os.getpid():
                return f"it is seen as {name}"
    with contextlib.suppress(ProcessLookupError):
        os.kill(facts["marker_pid"], 0)
        return "a process of that number is there"
    return ""


def marker_file(facts: Facts) -> str:
    """The file outside cannot be opened for writing."""
    with contextlib.suppress(OSError):
        os.close(os.open(facts["marker_file"], os.O_WRONLY | os.O_APPEND))
        return "it was opened for writing"
    return ""


def machine_read_only(facts: Facts) -> str:
    """Neither the repository, the kernel's settings, nor a disk can be opened for writing."""
    for path in (facts["repository"], "/etc", "/usr/bin"):
        with contextlib.suppress(OSError):
            name = f"{path}/ry_canary"
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT))
            os.unlink(name)
            return f"a file could be made in {path}"
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger"):
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_WRONLY))
            return f"{path} was opened for writing"
    with contextlib.suppress(OSError):
        os.mknod("/run/ry_disk", stat.S_IFBLK | 0o600, facts["disk"])
        os.close(os.open("/run/ry_disk", os.O_RDONLY))
        return "a disk was opened"
    return ""


def processes(facts: Facts) -> str:
    """Forks stop at the limit; the children wait on a pipe."""
    reading, writing = os.pipe()
    children = 0
    try:
        while children < facts["pids"]:
            if os.fork() == 0:
                os.close(writing)
                select.select([reading], [], [])
                os._exit(0)
            children += 1
    except OSError:
        pass
    os.close(writing)
    for _ in range(children):
        os.wait()
    os.close(reading)
    return "" if facts["pids"] // 2 < children < facts["pids"] else f"{children} children were made"


def memory(facts: Facts) -> str:
    """One process that takes more than the limit is ended or refused."""
    pid = os.fork()
    if pid == 0:
        with (
            contextlib.suppress(OSError),
            open("/proc/self/oom_score_adj", "w", encoding="utf-8") as file,
        ):
            file.write("1000")
        try:
            with mmap.mmap(-1, facts["memory"] + (256 << 20)) as area:
                area.madvise(MADV_HUGEPAGE)
                for offset in range(0, len(area), mmap.PAGESIZE):
                    area[offset] = 1
        except (OSError, MemoryError):
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return (
        ""
        if code in (-9, 1)
        else f"it got more than {facts['memory']} bytes (it ended with {code})"
    )


def places(facts: Facts) -> str:
    """The places to write are full at their size."""
    for path, size in (("/tmp", facts["tmp"]), ("/dev/shm", facts["shm"])):
        name = f"{path}/ry_canary"
        file = os.open(name, os.O_RDWR | os.O_CREAT)
        try:
            os.posix_fallocate(file, 0, size + 4096)
        except OSError:
            continue
        else:
            return f"{path} holds more than {size} bytes"
        finally:
            os.close(file)
            os.unlink(name)
    return ""


def network(facts: Facts) -> str:
    """There is loopback, which works, and no way out."""
    names = [name for _, name in socket.if_nameindex()]
    if names != ["lo"]:
        return f"the interfaces are {names}"
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return "there is a route to elsewhere"
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", facts["marker_port"]), timeout=5).close()
        return "the port outside was reached"
    return ""


CHECKS: tuple[Callable[[Facts], str], ...] = (
    marker_process, marker_file, machine_read_only, processes, memory, places, network,
)  # fmt: skip


def main() -> None:
    """Do each check by itself, and say what came of it; or only sleep, if asked to."""
    if sys.argv[1] == "sleep":
        signal.pause()
    facts = json.loads(sys.argv[1])
    for check in CHECKS:
        try:
            wrong = check(facts)
        except Exception as error:  # noqa: BLE001 (a check that fails is a box that is not proven)
            wrong = repr(error)
        print(check.__name__, wrong or "holds", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
