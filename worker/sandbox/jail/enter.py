"""From a clone of the janitor to a zygote: into the jail, out of every right.

Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runyard.worker.sandbox.jail import root
    from runyard.worker.sandbox.kernel import capabilities, namespaces
else:
    from jail import root
    from kernel import capabilities, namespaces

CHANNEL = 3
PROC = 4
"""Where the machine's /proc is kept for the keepers' own use in a jail that can have none."""
MOST_DESCRIPTORS = 65536
HOSTNAME = "task"
TIME_WAIT = "/proc/sys/net/ipv4/tcp_max_tw_buckets"


def enter(layout: dict[str, Any], packet: dict[str, Any], channel: int, gate: int) -> None:
    """Become the zygote of the packet; never returns."""
    try:
        capabilities.die_with_parent()
        if not os.read(gate, 1):
            raise OSError("the janitor is gone")
        _descriptors(channel)
        proc = _confine(layout, packet)
        told = " ".join(str(each) for each in (*packet["settings"], proc))
        env = packet["env"] | {"RUNYARD_ZYGOTE": "/".join([told, *packet["files"]])}
        os.execve(packet["argv"][0], packet["argv"], env)  # noqa: S606 (that is our purpose)
    except BaseException as error:  # noqa: BLE001 (a clone must never return)
        text = f"a slot's jail: {type(error).__name__}: {error}\n"
        with contextlib.suppress(OSError):
            os.write(2, text.encode("utf-8", "replace"))
    finally:
        os._exit(126)


def _descriptors(channel: int) -> None:
    """Keep standard error and the slot's socket alone."""
    os.dup2(channel, CHANNEL)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.closerange(CHANNEL + 1, MOST_DESCRIPTORS)
    os.set_inheritable(CHANNEL, True)


def _confine(layout: dict[str, Any], packet: dict[str, Any]) -> str:
    uid = packet["uid"]
    if uid is None:
        own, group = layout["uid"], layout["gid"]
        namespaces.write_maps(None, uid=(own, own), gid=(group, group))
    namespaces.unshare(namespaces.NEWCGROUP)  # now that it is in its group
    namespaces.loopback_up()
    # What a task leaves in TIME_WAIT would keep its port from the next task of the slot.
    with contextlib.suppress(OSError), open(TIME_WAIT, "w") as file:
        file.write("0")
    namespaces.set_hostname(HOSTNAME)
    outer = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    proc = root.build(layout)
    if proc == "none":
        os.dup2(outer, PROC)
        os.set_inheritable(PROC, True)
    if outer != PROC or proc != "none":
        os.close(outer)
    capabilities.drop_bounding()  # while we may
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    capabilities.drop(bounding=False)
    capabilities.no_new_privs()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    capabilities.set_dumpable(True)  # setresuid has cleared both
    capabilities.die_with_parent()
    os.chdir("/task")
    return proc
