"""A folder for each run of a worker, so that a later run can clean up what it left.

Below the worker's state folder it is ``instances/ID/`` with a ``lock``, held by flock for as long
as the run lives, and a ``record`` of what the run makes outside of its own process, each line
written before its thing is made. Loaded by path in the janitor too: standard library only.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING or __name__.startswith("runyard."):
    from runyard.worker.sandbox import record
else:  # by path: its folder alone is there
    import record

TRIES = 16


class InstanceUnusable(Exception):
    """The folder of a run cannot be made or written; the text names it and says why."""


class Held:
    """A run's folder under its lock.

    Attributes:
        path: the folder.
        id: its name, which no other run has.
        fd: the lock, for children that do not exec: one that kept it would hold it after us.
    """

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.id = os.path.basename(path)
        self.fd = fd

    @property
    def things(self) -> list[record.Thing]:
        """What its record names. Raises OSError."""
        try:
            with open(os.path.join(self.path, "record"), "rb") as file:
                return record.things(file.read(record.MAX_RECORD))
        except FileNotFoundError:
            return []

    def release(self) -> None:
        """Let go of the lock and leave the folder to a later run; idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Instance(Held):
    """This run's own folder, made anew.

    Args:
        state: the worker's state folder, which is there.

    Raises:
        InstanceUnusable: it cannot be made.
    """

    def __init__(self, state: str) -> None:
        try:
            super().__init__(*_make(os.path.join(os.path.abspath(state), "instances")))
        except OSError as error:
            raise InstanceUnusable(f"instances of {state}: {error.strerror}") from None

    def note_base(self, kind: str, path: str) -> None:
        """Write down that things of a kind will be made below a folder. Raises InstanceUnusable."""
        self._append(record.line("base", kind, path))

    def note(self, kind: str, path: str) -> None:
        """Write down what is about to be made, below a noted base. Raises InstanceUnusable."""
        self._append(record.line("path", kind, path))

    def _append(self, line: bytes | None) -> None:
        name = os.path.join(self.path, "record")
        if line is None:
            raise InstanceUnusable(f"{name}: not a kind and a plain absolute path that it can hold")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            fd = os.open(name, flags, 0o600)
            try:
                written = os.write(fd, line)
            finally:
                os.close(fd)
        except OSError as error:
            raise InstanceUnusable(f"{name}: {error.strerror}") from None
        if written != len(line):
            raise InstanceUnusable(f"{name}: the disk is full")


def _make(instances: str) -> tuple[str, int]:
    """Make a folder and take its lock, while others may be looking for folders without a holder."""
    os.makedirs(instances, 0o700, exist_ok=True)
    for _ in range(TRIES):
        path = os.path.join(instances, os.urandom(4).hex())
        try:
            os.mkdir(path, 0o700)
            fd = _lock(path, os.O_CREAT)
        except (FileExistsError, FileNotFoundError):
            continue  # someone took it for a leftover
        if fd is not None:
            return path, fd
    raise OSError(0, "other starts are in the way; try again")


def _lock(path: str, create: int) -> int | None:
    """Take the lock of a folder at once; None where another has it or it is no longer there.

    Raises:
        OSError: it cannot be opened.
    """
    name = os.path.join(path, "lock")
    fd = os.open(name, os.O_RDWR | create | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ours = os.fstat(fd).st_ino == os.stat(name, follow_symlinks=False).st_ino
    except OSError:
        ours = False
    if ours:
        return fd
    os.close(fd)
    return None


def leftovers(state: str) -> list[Held]:
    """Give the folders of earlier runs that nothing holds any more, each now held by us.

    Each is to be cleaned, then given to `forget`, or released for a later start. A run that lives
    is never among them, nor is this one's own.
    """
    instances = os.path.join(os.path.abspath(state), "instances")
    try:
        with os.scandir(instances) as entries:
            paths = sorted(e.path for e in entries if e.is_dir(follow_symlinks=False))
    except OSError:
        return []
    found = []
    for path in paths:
        try:
            fd = _lock(path, 0)
        except FileNotFoundError:
            _rmdir(path)  # its run ended before it had a lock, or makes it now, and starts over
            continue
        except OSError:
            continue
        if fd is not None:
            found.append(Held(path, fd))
    return found


def forget(held: Held) -> None:
    """Remove the folder of a run that has nothing left, and let go of it. Raises OSError."""
    for name in ("record", "lock"):  # the lock last: without it the folder is nobody's
        try:
            os.unlink(os.path.join(held.path, name))
        except FileNotFoundError:
            continue
    _rmdir(held.path)
    held.release()


def _rmdir(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError:
        return
