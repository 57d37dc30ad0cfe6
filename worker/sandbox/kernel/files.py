"""Files by system calls that can be noted: written in one go, folders and links made.

Sources: include/uapi/linux/fcntl.h. Raised is OSError, with what and where.
"""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runyard.worker.sandbox.kernel import syscalls
else:
    from kernel import syscalls

AT_FDCWD = -100


def encoded(text: str) -> bytes:
    """Give the bytes of a path. Raises ValueError for a NUL, which would cut it short."""
    if "\0" in text:
        raise ValueError(f"a NUL in {text!r}")
    return os.fsencode(text)


def opened(path: str, flags: int, into: syscalls.Kept, at: int = AT_FDCWD) -> None:
    """Open a path, seen from the folder `at`; it is closed on exec."""
    syscalls.call("openat", at, encoded(path), flags | os.O_CLOEXEC, 0, into=into, about=path)


def close(descriptor: int | syscalls.Kept) -> None:
    """Close a descriptor."""
    syscalls.call("close", descriptor)


def write(path: str, text: str, at: int = AT_FDCWD) -> None:
    """Write a text to a file that is there, in one go."""
    target = ctypes.c_long(-1)
    data = text.encode()
    opened(path, os.O_WRONLY, target, at)
    try:
        syscalls.call("write", target, data, len(data), about=f"{text!r} to {path}")
    finally:
        close(target)


def make_folder(path: str, mode: int) -> None:
    """Make a folder with just this mode, whatever the umask."""
    syscalls.call("mkdirat", AT_FDCWD, encoded(path), mode, about=path)
    syscalls.call("fchmodat", AT_FDCWD, encoded(path), mode, about=path)


def link(target: str, path: str) -> None:
    """Make a symbolic link."""
    syscalls.call("symlinkat", encoded(target), AT_FDCWD, encoded(path), about=path)


def enter(folder: str) -> None:
    """Make a folder the working folder."""
    syscalls.call("chdir", encoded(folder), about=folder)
