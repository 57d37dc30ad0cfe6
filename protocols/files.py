"""Files that go with a task, in and out: their names, and how they travel; pure.

Packed, each file is its name, NUL, its size in decimal, NUL, its bytes; a name with ``-`` for its
size was left out. So sizes are known before their bytes are touched, and nothing is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import field, frozen

from runyard.protocols.errors import ProtocolError
from runyard.protocols.limits import FILES_BYTES

MOST_FILES = 100
MOST_NAME = 1024
MOST_PART = 255
MOST_DEPTH = 8
MOST_LEFT_OUT = 101
"""Names of what was left out; the last may stand for more."""
MOST_LEFT_NAME = 4 * MOST_NAME
PROGRAM = "main.py"
NUL = b"\0"


@frozen
class File:
    """A file: its path below the task's folder, with ``/`` between the parts, and its bytes."""

    name: str
    content: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """Its bytes."""
        return len(self.content)


@frozen
class Files:
    """What was found in a task's folder after its end; `left_out` names what did not fit."""

    files: tuple[File, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Their bytes, and their names'."""
        names = [*(each.name for each in self.files), *self.left_out]
        return sum(len(name) for name in names) + sum(each.size for each in self.files)


NONE = Files()


def complaint(name: str) -> str | None:
    """Say what is wrong with a file's name, or None."""
    parts = name.split("/", MOST_DEPTH)
    if name.startswith("/") or "\0" in name:
        return "must be relative to the task's folder, without NUL"
    if any(part in ("", ".", "..") for part in parts):
        return "must have no part that is empty, '.' or '..'"
    if len(parts) > MOST_DEPTH:
        return f"must have at most {MOST_DEPTH} parts"
    sizes = [len(part.encode("utf-8", "surrogatepass")) for part in parts]
    if max(sizes) > MOST_PART or sum(sizes) + len(sizes) - 1 > MOST_NAME:
        return f"must have at most {MOST_PART} bytes a part and {MOST_NAME} in all"
    return f"must not be {PROGRAM}: that is the program" if parts[0] == PROGRAM else None


def clash(names: Iterable[str]) -> tuple[int, str] | None:
    """Find a name that another's makes impossible: its place, and what is wrong with it."""
    folders: set[str] = set()
    seen: set[str] = set()
    for at, name in enumerate(names):
        above = {name[:end] for end, letter in enumerate(name) if letter == "/"}
        if name in seen:
            return at, "must be named once"
        if name in folders or above & seen:
            return at, "must not be a file and a folder at once"
        seen.add(name)
        folders |= above
    return None


def pack(files: Iterable[File], left_out: Iterable[str] = ()) -> bytes:
    """Pack files, and the names of those that were left out."""
    parts = []
    for each in files:
        parts += [each.name.encode(), NUL, b"%d" % each.size, NUL, each.content]
    for name in left_out:
        parts += [name.encode(), NUL, b"-", NUL]
    return b"".join(parts)


def unpack(packed: bytes) -> Files:
    """Undo `pack`, trusting nothing.

    Raises:
        ProtocolError: it is not of this form, or its names or sizes are not allowed.
    """
    files: list[File] = []
    left_out: list[str] = []
    total = 0
    for name, size, at in _records(packed):
        if size is None:
            left_out.append(name)
            continue
        total += size
        wrong = complaint(name)
        if wrong is not None:
            raise ProtocolError(f"a file's name {wrong}")
        if total > FILES_BYTES or len(files) == MOST_FILES:
            raise ProtocolError(f"at most {MOST_FILES} files, {FILES_BYTES} bytes together")
        files.append(File(name, packed[at : at + size]))
    found = clash(each.name for each in files)
    if found is not None:
        raise ProtocolError(f"a file's name {found[1]}")
    return Files(tuple(files), tuple(left_out))


def _records(packed: bytes) -> Iterator[tuple[str, int | None, int]]:
    """Give the name, the size (None: left out) and the place of each."""
    at = left = 0
    while at < len(packed):
        name, at = _text(packed, at, MOST_LEFT_NAME)
        digits, at = _text(packed, at, 9)
        if digits == "-":
            left += 1
            if left > MOST_LEFT_OUT:
                raise ProtocolError("too many files were left out")
            yield name, None, at
            continue
        if not (digits.isascii() and digits.isdecimal()) or at + int(digits) > len(packed):
            raise ProtocolError("a file has another size than it says")
        yield name, int(digits), at
        at += int(digits)


def _text(packed: bytes, at: int, most: int) -> tuple[str, int]:
    end = packed.find(NUL, at, at + most + 1)
    if end < 0:
        raise ProtocolError("a file's name or size has no end")
    try:
        return packed[at:end].decode(), end + 1
    except UnicodeDecodeError:
        raise ProtocolError("a file's name is not UTF-8") from None
