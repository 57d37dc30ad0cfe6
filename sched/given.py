"""The files of a request: names checked, contents decoded, sizes bounded; pure."""

from __future__ import annotations

import binascii
from collections.abc import Sequence

from runyard.protocols.files import File, clash, complaint
from runyard.protocols.limits import FILES_BYTES
from runyard.sched.errors import Kind, Refusal, malformed
from runyard.sched.models import FileModel

SLICE = 256 * 1024
"""Characters that are decoded at once; whole groups of base64's four."""
PAGE = 4096
"""What a file takes on disk is whole pages."""


def read_files(given: Sequence[FileModel]) -> tuple[File, ...]:
    """Read a request's files.

    Raises:
        Refusal: a name or a content is not allowed, or they are too large together.
    """
    _check_names([each.name for each in given])
    files = []
    total = 0
    for at, each in enumerate(given):
        content = _content(each, f"files.{at}.content", FILES_BYTES - total)
        total += len(content)
        files.append(File(each.name, content))
    return tuple(files)


def check_room(files: Sequence[File], disk_bytes: int) -> None:
    """Check that they fit into a task's folder.

    Raises:
        Refusal: they do not.
    """
    if not files:
        return
    needed = PAGE * sum(-(-each.size // PAGE) for each in files)
    if needed > disk_bytes:
        raise malformed("files", f"{needed} bytes on disk", f"at most disk_bytes, {disk_bytes}")


def _check_names(names: list[str]) -> None:
    for at, name in enumerate(names):
        wrong = complaint(name)
        if wrong is not None:
            raise malformed(f"files.{at}.name", name, wrong)
    found = clash(names)
    if found is not None:
        at, wrong = found
        raise malformed(f"files.{at}.name", names[at], wrong)


def _content(given: FileModel, where: str, room: int) -> bytes:
    text = given.content
    least = len(text) if given.encoding == "utf8" else len(text) // 4 * 3 - 2
    content = b""
    if least <= room:
        content = text.encode() if given.encoding == "utf8" else _base64(text, where)
    if least > room or len(content) > room:
        raise Refusal(Kind.TOO_LARGE, f"files: at most {FILES_BYTES} bytes together are allowed")
    return content


def _base64(text: str, where: str) -> bytes:
    """Decode in slices, between which other threads have their turn."""
    allowed = "base64 (RFC 4648) with its padding and nothing else"
    pieces = []
    for start in range(0, len(text), SLICE):
        piece = text[start : start + SLICE]
        padded = "=" in piece and start + SLICE < len(text)
        try:
            pieces.append(binascii.a2b_base64(piece, strict_mode=True))
        except ValueError:
            padded = True
        if padded:
            raise malformed(where, piece, allowed)
    return b"".join(pieces)
