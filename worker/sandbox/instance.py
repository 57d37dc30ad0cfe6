"""What one run of a worker makes outside of its own process, written down so that a later run can
clean up after it.

Below the worker's state folder each run has ``instances/ID/`` with a ``lock``, held by flock for as
long as the run lives, and a ``record`` of JSON lines, each written before what it names is made:
``{"base": PATH, "kind": KIND}``, then ``{"path": PATH, "kind": KIND}`` for things below such a base.
Loaded by path in the janitor too: standard library only.
"""

from __future__ import annotations

import fcntl
import json
import os
from typing import NamedTuple

KINDS = ("cgroup", "mount", "folder")
MAX_RECORD = 4 * 1024 * 1024
MAX_LINE = 16 * 1024
TRIES = 16


class InstanceUnusable(Exception):
    """The folder of a run cannot be made or written; the text names it and says why."""


class Thing(NamedTuple):
    """What was, or was about to be, made: one of `KINDS` and an absolute path."""

    kind: str
    path: str


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
    def things(self) -> list[Thing]:
        """What its record names. Raises OSError."""
        try:
            with open(os.path.join(self.path, "record"), "rb") as file:
                return things(file.read(MAX_RECORD))
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

    def base(self, kind: str, path: str) -> None:
        """Write down that things of a kind will be made below a folder. Raises InstanceUnusable."""
        self._append({"base": path, "kind": kind})

    def record(self, kind: str, path: str) -> None:
        """Write down what is about to be made, below a noted base. Raises InstanceUnusable."""
        self._append({"path": path, "kind": kind})

    def _append(self, line: dict[str, str]) -> None:
        # Its own line even where the one before was cut off by a full disk.
        data = b"\n" + json.dumps(line).encode() + b"\n"
        if len(data) > MAX_LINE:
            raise InstanceUnusable(f"{self.path}/record: a path of {len(data)} bytes is too long")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            fd = os.open(os.path.join(self.path, "record"), flags, 0o600)
            try:
                written = os.write(fd, data)
            finally:
                os.close(fd)
        except OSError as error:
            raise InstanceUnusable(f"{self.path}/record: {error.strerror}") from None
        if written != len(data):
            raise InstanceUnusable(f"{self.path}/record: the disk is full")


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

    Each is to be cleaned, then given to `forget`, or released for a later start. A run that lives is
    never among them, nor is this one's own.
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
            _rmdir(path)  # its run ended before it had a lock, or is about to make it, and starts over
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


def things(record: bytes) -> list[Thing]:
    """Read a record: each thing once, in order; lines that are torn or not as we write them are none.

    A thing counts only below a base of its kind that is noted before it.
    """
    bases: list[Thing] = []
    found: dict[Thing, None] = {}
    for line in record.split(b"\n"):
        value = _read_line(line)
        if value is None:
            continue
        base, thing = value
        if thing is not None and any(
            thing.kind == each.kind and thing.path.startswith(each.path + "/") for each in bases
        ):
            found[thing] = None
        elif base is not None:
            bases.append(base)
    return list(found)


def _read_line(line: bytes) -> tuple[Thing | None, Thing | None] | None:
    """Give (base, None) or (None, thing) of a line, or None where it is neither."""
    if not 0 < len(line) <= MAX_LINE:
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.get("kind") not in KINDS:
        return None
    for key in ("base", "path"):
        path = value.get(key)
        if set(value) == {key, "kind"} and isinstance(path, str) and _plain(path):
            thing = Thing(value["kind"], path)
            return (thing, None) if key == "base" else (None, thing)
    return None


def _plain(path: str) -> bool:
    """Tell whether a path is absolute, has no detours, and is not the root of everything."""
    return (
        path.startswith("/")
        and path not in ("/", "//")
        and "\0" not in path
        and os.path.normpath(path) == path
    )
