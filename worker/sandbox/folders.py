"""A slot's folder and the jobs' below it. Loaded by path by the helper: standard library only."""

from __future__ import annotations

import contextlib
import os
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # what the helper has loaded shows in what tasks are said to use
    import socket
    from typing import Any

    from runyard.worker.sandbox import collecting, removal
else:  # the helper has put our folder on its path while it imports us
    import collecting
    import removal

COPY_BYTES = 1 << 20
TIDY_S = 0.02
HOLD_S = 1.0


def furnish(order: dict[str, Any], code: int, files: int) -> None:
    """Make the job's folder: the program, links to the operator's task files, its own files.

    Its TMPDIR is beside it.
    """
    cwd = order["cwd"]
    try:
        os.mkdir(cwd, 0o700)
    except OSError:  # where tasks are this same user, one may have spoilt the slot's folder
        clear(os.path.dirname(cwd))
        os.mkdir(cwd, 0o700)
    os.mkdir(tmp_of(cwd), 0o700)
    program = os.path.join(cwd, order["program"])
    with open(program, "wb", buffering=0) as target:
        while os.sendfile(target.fileno(), code, None, COPY_BYTES):
            pass
    for name, path in order["task_files"]:
        os.symlink(path, os.path.join(cwd, name))
    owner = (order["uid"], order["gid"]) if order["uid"] is not None else None
    collecting.place(cwd, files, owner)
    if owner is not None:
        for path in (program, tmp_of(cwd), cwd):
            os.chown(path, *owner)


def tmp_of(cwd: str) -> str:
    """Name the folder for temporary files of the job that runs in another."""
    return f"{cwd}.tmp"


def collect(order: dict[str, Any], files: int) -> None:
    """Pack what the job has left, as the job's user: what that may not read is not collected."""
    if order["uid"] is not None:
        os.setgroups([])
        os.setegid(order["gid"])
        os.seteuid(order["uid"])
    try:
        collecting.Collection(files, order["file_bytes"], release=False).collect(order["cwd"])
    finally:
        if order["uid"] is not None:
            os.seteuid(os.getuid())
            os.setegid(os.getgid())


def aside_of(folder: str) -> str:
    """Name the folder, beside a slot's own, that holds what is still to be removed."""
    return f"{folder}.gone"


def put_aside(path: str, slot: str) -> None:
    """Move a folder out of the way, however much it holds. Raises OSError; none there is well."""
    aside = aside_of(slot)
    os.makedirs(aside, 0o700, exist_ok=True)
    removal.own(path)
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, os.path.join(aside, f"{os.getpid()}-{time.monotonic_ns()}"))


def discard(order: dict[str, Any]) -> None:
    """Remove the job's folder where it holds only what we made, or else put it aside."""
    cwd = order["cwd"]
    try:
        for name in (order["program"], *(name for name, _ in order["task_files"])):
            os.unlink(os.path.join(cwd, name))
        os.rmdir(cwd)
        os.rmdir(tmp_of(cwd))
    except OSError:
        for path in (cwd, tmp_of(cwd)):
            try:
                put_aside(path, os.path.dirname(cwd))
            except OSError as error:
                complain(f"{path} cannot be put aside: {error}")


def clear(folder: str) -> bool:
    """Make the slot's folder anew, whatever an earlier helper left there; whether that worked."""
    try:
        put_aside(folder, folder)
        os.mkdir(folder)
        os.chmod(folder, 0o711)  # noqa: S103 (tasks enter it, and cannot list it)
    except OSError as error:
        complain(f"{folder} cannot be made: {error}")
        return False
    return True


def tidy(channel: socket.socket, folder: str, seconds: float) -> None:
    """Remove what was put aside until a packet waits; for some seconds each time even so."""
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    until = time.monotonic() + seconds
    with contextlib.suppress(OSError):
        for _ in removal.emptying(aside_of(folder)):
            if time.monotonic() > until and poll.poll(0):
                return


def crowded(folder: str) -> bool:
    """Whether something is still aside that an earlier job left."""
    try:
        with os.scandir(aside_of(folder)) as entries:
            return next(entries, None) is not None
    except OSError:
        return False


def empty(channel: socket.socket, folder: str) -> None:
    """Remove all that was put aside, however long that takes, unless the worker goes."""
    poll = select.poll()
    poll.register(channel, 0)  # for its hanging up alone
    with contextlib.suppress(OSError):
        for _ in removal.emptying(aside_of(folder)):
            if poll.poll(0):
                return


def complain(text: str) -> None:
    """Write a line to the worker's log."""
    with contextlib.suppress(OSError):
        os.write(2, f"a slot's helper: {text}\n".encode("utf-8", "replace"))
