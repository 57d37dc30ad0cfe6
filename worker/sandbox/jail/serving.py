"""The zygote's loop: a keeper a task. Standard library only."""

from __future__ import annotations

import _socket
import ctypes
import gc
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runyard.worker.sandbox import inspecting
    from runyard.worker.sandbox.jail import child, inheriting, keeper, leaving, packets
    from runyard.worker.sandbox.kernel import capabilities, namespaces, syscalls
else:
    import child
    import inheriting
    import inspecting
    import keeper
    import leaving
    import packets
    from kernel import capabilities, namespaces, syscalls

OF_A_TASK = (
    namespaces.NEWUSER
    | namespaces.NEWPID
    | namespaces.NEWNS
    | namespaces.NEWIPC
    | namespaces.NEWUTS
    | namespaces.NEWCGROUP
)


def run(settings_text: str) -> None:
    """Settle down and serve the worker; returns in tasks' processes alone."""
    inspecting.go_unseen()
    inspecting.load_the_site_s_own()
    inspecting.prepare()
    leaving.prepare()
    settings = keeper.Settings(settings_text)
    capabilities.die_with_parent()
    os.set_inheritable(settings.channel, False)
    if settings.proc == "none":
        os.set_inheritable(keeper.PROC, False)
    channel = _socket.socket(fileno=settings.channel)
    alone, confined = keeper.prepare(settings), child.prepare(settings.proc_at)
    inheriting.inherit()
    gc.collect()
    gc.freeze()
    serve(channel, settings, alone, confined)


def serve(
    channel: Any, settings: keeper.Settings, alone: syscalls.Noted, confined: syscalls.Noted
) -> None:
    """Clone a keeper a task; returns in tasks' processes alone."""
    pid = ctypes.c_long(-1)
    with syscalls.Noted() as clone:
        namespaces.clone_into(pid, OF_A_TASK)
    while True:
        clone.make()
        if pid.value == 0:
            keeper.keep(channel, settings, alone, confined)
            return
        _, status = os.waitpid(pid.value, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == keeper.NO_TASK:
            os._exit(0)  # the worker closed the socket
        if status != 0:
            how = os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            text = f"the task's keeper ended with {how}"
            packets.send(channel, failed=text)
            os.write(2, f"a slot's zygote: {text}\n".encode())
            os._exit(keeper.BROKEN)
