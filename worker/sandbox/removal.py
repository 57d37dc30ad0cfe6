"""Removing folders that hostile code has filled: flat, in bounded steps, never by a link.

Standard library only and no import of our own: the slot's helper loads it by path.

A tree may be deeper than any stack, path or table of descriptors allows. So nothing here descends:
a folder's subfolders are moved up beside it, and then it is empty. Three descriptors do for all.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterator

NO_LINK = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def own(name: str, at: int | None = None) -> None:
    """Take every right to a folder of this user's, whose mode may forbid it; root needs none."""
    if os.geteuid() == 0:
        return
    with contextlib.suppress(OSError):
        handle = os.open(name, os.O_PATH | NO_LINK, dir_fd=at)
        try:
            os.chmod(f"/proc/self/fd/{handle}", 0o700)
        finally:
            os.close(handle)


def emptying(folder: str) -> Iterator[None]:
    """Remove all that is below a folder, one entry a step; what cannot be removed stays.

    Raises:
        OSError: the folder cannot be opened, or is a link.
    """
    top = _open(folder)
    try:
        while (yield from _pass(top)):
            pass
    finally:
        os.close(top)


def remove(folder: str, go_on: Callable[[], bool]) -> bool:
    """Remove a folder with all below it while `go_on` says so; whether it is gone. Never raises."""
    try:
        for _ in emptying(folder):
            if not go_on():
                return False
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _open(name: str, at: int | None = None) -> int:
    own(name, at)
    return os.open(name, os.O_RDONLY | NO_LINK, dir_fd=at)


def _pass(top: int) -> Generator[None, None, bool]:
    """Go once over what `top` holds; whether anything went, so that another pass may help."""
    prefix = os.urandom(8).hex()
    went = False
    serial = 0
    waiting: list[str] = []
    for name, is_folder in _entries(top):
        if is_folder:
            waiting.append(name)
        else:
            went |= _unlink(name, top)
        yield
    while waiting:
        name = waiting.pop()
        try:
            inner = _open(name, top)
        except OSError:
            continue
        try:
            for entry, is_folder in _entries(inner):
                if is_folder:
                    serial += 1
                    moved = f"{prefix}.{serial}"
                    if _move_up(entry, inner, moved, top):
                        waiting.append(moved)
                else:
                    went |= _unlink(entry, inner)
                yield
        finally:
            os.close(inner)
        went |= _rmdir(name, top)
    return went


def _entries(folder: int) -> Iterator[tuple[str, bool]]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name, entry.is_dir(follow_symlinks=False)


def _unlink(name: str, at: int) -> bool:
    try:
        os.unlink(name, dir_fd=at)
    except OSError:
        return False
    return True


def _rmdir(name: str, at: int) -> bool:
    try:
        os.rmdir(name, dir_fd=at)
    except OSError:
        return False
    return True


def _move_up(name: str, at: int, moved: str, top: int) -> bool:
    own(name, at)  # a folder that changes its parent is written to
    try:
        os.rename(name, moved, src_dir_fd=at, dst_dir_fd=top)
    except OSError:
        return False
    return True
