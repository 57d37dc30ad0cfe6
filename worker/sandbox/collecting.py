"""A task's files: put into its folder before it, found there after it.

Used by the keeper of a jailed task and by the helper of a plain one, when no process of the task is
left. Standard library only, and little of it. The packed form is that of protocols/files.py. What a
task leaves may be anything: nothing here follows a link, waits for a FIFO, or goes on without end.
"""

from __future__ import annotations

import os
import stat
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_FILES = 100
MOST_BYTES = 16 * 1024 * 1024
MOST_NAME = 1024
MOST_DEPTH = 8
MOST_ENTRIES = 20_000
MOST_LEFT_OUT = 100
MOST_S = 1.0
CHUNK = 256 * 1024
NUL = b"\0"
PROGRAM = b"main.py"
CACHE = b"__pycache__"
READ = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def packed_files(descriptor: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Give the name of each packed file, where its bytes begin, and how many they are."""
    at = 0
    while at < end:
        name, digits, _ = os.pread(descriptor, MOST_NAME + 16, at).split(NUL, 2)
        at += len(name) + len(digits) + 2
        yield name, at, int(digits)
        at += int(digits)


def place(folder: str, packed: int, owner: tuple[int, int] | None = None) -> None:
    """Put packed files into a folder that no task has had yet, in place of links there.

    Raises:
        OSError: there is no room.
    """
    end = os.fstat(packed).st_size
    if not end:
        return
    top = os.open(folder, FOLDER)
    try:
        for name, at, size in packed_files(packed, end):
            _place(top, name.split(b"/"), (packed, at, size), owner)
    finally:
        os.close(top)


def _place(
    top: int, parts: list[bytes], source: tuple[int, int, int], owner: tuple[int, int] | None
) -> None:
    try:
        os.readlink(parts[0], dir_fd=top)
        os.unlink(parts[0], dir_fd=top)
    except OSError:  # it is no link, or nothing
        pass
    here = os.dup(top)
    try:
        for part in parts[:-1]:
            here = _enter(here, part, owner)
        target = os.open(parts[-1], NEW, 0o600, dir_fd=here)
    finally:
        os.close(here)
    try:
        _copy(source, target)
        if owner is not None:
            os.fchown(target, *owner)
    finally:
        os.close(target)


def _enter(here: int, part: bytes, owner: tuple[int, int] | None) -> int:
    """Make a folder where there is none, and open it in place of the one that it is in."""
    try:  # noqa: SIM105 (contextlib would be loaded into every task)
        os.mkdir(part, 0o700, dir_fd=here)
    except FileExistsError:
        pass
    inner = os.open(part, FOLDER, dir_fd=here)
    os.close(here)
    if owner is not None:
        os.fchown(inner, *owner)
    return inner


def _copy(source: tuple[int, int, int], target: int) -> None:
    packed, at, size = source
    end = at + size
    while at < end:
        data = os.pread(packed, min(CHUNK, end - at), at)
        if not data:
            raise OSError("a file is shorter than it says")
        at += len(data)
        while data:
            data = data[os.write(target, data) :]


class Collection:
    """Finds what is new or changed in a task's folder, and packs it behind what was given.

    Args:
        packed: Descriptor of a memory file that holds what was given; behind that is written.
        most_file: Bytes of one file.
        release: Whether a file may be emptied while it is taken, so that no more memory is held
            than before: its pages and the memory file's count alike.
    """

    def __init__(self, packed: int, most_file: int, release: bool) -> None:
        self._packed = packed
        self._most_file = most_file
        self._release = release
        self._until = time.monotonic() + MOST_S
        self._at = os.fstat(packed).st_size
        self._given = {name: (at, size) for name, at, size in packed_files(packed, self._at)}
        self._room = MOST_BYTES
        self._entries = self._files = 0
        self._linked: set[tuple[int, int]] = set()
        self._left: list[bytes] = []

    def collect(self, folder: str) -> None:
        """Go through a folder, whatever is there; what does not fit is named. Never raises."""
        try:
            top = open_anyway(os.fsencode(folder), FOLDER)
        except OSError:
            return
        try:
            self._folder(top, b"", 1)
        finally:
            os.close(top)
        if self._left:
            os.pwrite(self._packed, b"".join(name + b"\0-\0" for name in self._left), self._at)

    @property
    def _over(self) -> bool:
        if self._files == MOST_FILES and len(self._left) > MOST_LEFT_OUT:
            return True  # there is nothing more to be told
        return self._entries > MOST_ENTRIES or time.monotonic() > self._until

    def _folder(self, folder: int, prefix: bytes, depth: int) -> None:
        files, folders = self._list(folder, prefix)
        for name in sorted(files):
            if self._over:
                self._leave_out(prefix or b"./")
                break
            if prefix + name != PROGRAM:
                self._file(folder, name, prefix + name)
        for name in sorted(folders):
            path = prefix + name
            if name == CACHE:
                continue
            if depth == MOST_DEPTH or self._over:
                self._leave_out(path + b"/")
                continue
            try:
                inner = open_anyway(name, FOLDER, folder)
            except OSError:
                self._leave_out(path + b"/")
                continue
            try:
                self._folder(inner, path + b"/", depth + 1)
            finally:
                os.close(inner)

    def _list(self, folder: int, prefix: bytes) -> tuple[list[bytes], list[bytes]]:
        files: list[bytes] = []
        folders: list[bytes] = []
        try:
            with os.scandir(folder) as found:
                for entry in found:
                    self._entries += 1
                    if self._over:
                        self._leave_out(prefix or b"./")
                        break
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(os.fsencode(entry.name))
                    elif entry.is_file(follow_symlinks=False):
                        files.append(os.fsencode(entry.name))
        except OSError:
            self._leave_out(prefix or b"./")
        return files, folders

    def _file(self, folder: int, name: bytes, path: bytes) -> None:
        before = self._at
        try:
            handle = open_anyway(name, os.O_RDWR | READ, folder)
            try:
                if not self._take(handle, path, os.fstat(handle)):
                    self._leave_out(path)
            finally:
                os.close(handle)
        except OSError:
            os.ftruncate(self._packed, before)
            self._at = before
            self._leave_out(path)

    def _take(self, handle: int, path: bytes, found: os.stat_result) -> bool:
        """Pack a file that is new or changed; False where it does not fit."""
        size = found.st_size
        if not stat.S_ISREG(found.st_mode) or self._unchanged(handle, path, size):
            return True
        inode = found.st_dev, found.st_ino
        if size > min(self._most_file, self._room) or self._files == MOST_FILES or self._over:
            return False
        if len(path) > MOST_NAME or inode in self._linked or not is_text(path):
            return False
        if found.st_nlink > 1:
            self._linked.add(inode)  # emptied by its first name, it has nothing for the others
        self._pack(handle, path, size)
        self._files += 1
        self._room -= size
        return True

    def _unchanged(self, handle: int, path: bytes, size: int) -> bool:
        at, given = self._given.get(path, (0, -1))
        if given != size:
            return False
        for start in range(0, size, CHUNK):
            count = min(CHUNK, size - start)
            if os.pread(handle, count, start) != os.pread(self._packed, count, at + start):
                return False
        return True

    def _pack(self, handle: int, path: bytes, size: int) -> None:
        """Copy from the end on, so that what has been copied can be cut off; holes stay holes."""
        head = path + b"\0%d\0" % size
        os.pwrite(self._packed, head, self._at)
        begin = self._at + len(head)
        empty = bytes(min(CHUNK, size))
        for start in range((size - 1) // CHUNK * CHUNK, -1, -CHUNK):
            data = os.pread(handle, CHUNK, start)
            if data != empty[: len(data)]:
                os.pwrite(self._packed, data, begin + start)
            if self._release:
                os.ftruncate(handle, start)
        self._at = begin + size
        os.ftruncate(self._packed, self._at)

    def _leave_out(self, path: bytes) -> None:
        if len(self._left) < MOST_LEFT_OUT:
            shown = path.decode("utf-8", "backslashreplace").replace("\0", "")[:MOST_NAME]
            self._left.append(shown.encode())
        elif len(self._left) == MOST_LEFT_OUT:
            self._left.append(b"...")


def open_anyway(name: bytes, flags: int, folder: int | None = None) -> int:
    """Open something of the task's; where its mode forbids that, after changing the mode."""
    try:
        return os.open(name, flags, dir_fd=folder)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=folder)
        return os.open(name, flags, dir_fd=folder)


def is_text(name: bytes) -> bool:
    """Whether a name is UTF-8."""
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
