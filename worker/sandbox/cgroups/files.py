"""Reading and writing the files of control groups, with errors that name the file and a way out."""

from __future__ import annotations

import errno
import os

MAX_BYTES = 256 * 1024  # only lists of very many processes are longer
ADVICE = {
    errno.EACCES: "have the group delegated to this user (systemd: Delegate=yes), or be root",
    errno.EPERM: "have the group delegated to this user (systemd: Delegate=yes), or be root",
    errno.EROFS: "mount the control groups writable for the worker",
    errno.ENOENT: "the group is gone, or the kernel has no such file",
    errno.ENODEV: "the group is gone",
    errno.EBUSY: "something is still in it",
    errno.EINVAL: "the kernel does not take this value here",
    errno.ESRCH: "the process is gone",
    errno.ENOSPC: "the number of groups is bounded (cgroup.max.descendants of a group above)",
    errno.EAGAIN: "the number of groups or of processes is bounded by a group above",
}


class GroupError(Exception):
    """A group cannot be used; the text names the file and what to do, `errno` is the kernel's."""

    def __init__(self, path: str, error: OSError) -> None:
        advice = ADVICE.get(error.errno or 0)
        super().__init__(f"{path}: {error.strerror}" + (f"; {advice}" if advice else ""))
        self.path = path
        self.errno = error.errno or 0


class Hot:
    """A file that is kept open, so that reading it costs one system call.

    Raises:
        GroupError: it cannot be opened.
    """

    def __init__(self, path: str, writable: bool = False) -> None:
        self.path = path
        try:
            self._fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
        except OSError as error:
            raise GroupError(path, error) from None

    def read(self) -> bytes:
        """Read it from its start. Raises GroupError."""
        try:
            return os.pread(self._fd, 4096, 0)
        except OSError as error:
            raise GroupError(self.path, error) from None

    def number(self) -> int:
        """Read it as one number. Raises GroupError."""
        return int(self.read())

    def keyed(self, key: bytes) -> int:
        """Read the number of one key of a flat-keyed file. Raises GroupError."""
        return keyed(self.read(), key)

    def write(self, value: bytes) -> None:
        """Write at its start. Raises GroupError."""
        try:
            os.pwrite(self._fd, value, 0)
        except OSError as error:
            raise GroupError(self.path, error) from None

    def close(self) -> None:
        """Close it; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def keyed(text: bytes, key: bytes) -> int:
    """Give the number of a key in lines of ``key number``; 0 where the kernel has no such key."""
    at = (b"\n" + text).find(b"\n" + key + b" ")
    return int(text[at + len(key) + 1 :].split(b"\n", 1)[0]) if at >= 0 else 0


def read(path: str) -> str:
    """Read a file of a group, whole up to `MAX_BYTES`. Raises GroupError."""
    try:
        with open(path, "rb") as file:
            return file.read(MAX_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise GroupError(path, error) from None


def whole(path: str) -> str:
    """Read a file of /proc that is as long as it is, with any bytes. Raises GroupError."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError as error:
        raise GroupError(path, error) from None


def write(path: str, value: str) -> None:
    """Write a value to a file that is there, in one call. Raises GroupError."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise GroupError(path, error) from None


def pids(folder: str) -> list[int]:
    """List the processes of a group; those of a pid namespace that we cannot see are left out.

    Raises:
        GroupError: it cannot be read. A group that is gone has none.
    """
    try:
        text = read(f"{folder}/cgroup.procs")
    except GroupError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return []
        raise
    text = text[: text.rfind("\n") + 1]  # a number that was cut off would be another's
    return [int(word) for word in text.split() if word.isdigit() and int(word) > 0]


def rmdir(folder: str) -> bool:
    """Try to remove a group; True when it is gone, False while something is in it.

    Raises:
        GroupError: it cannot be removed by us at all.
    """
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
            return False
        raise GroupError(folder, error) from None
    return True
