"""Folders that one process holds at a time."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from pathlib import Path


class FolderUnusable(Exception):
    """A state folder cannot be used; the text names it and says why."""


class FolderHeld(FolderUnusable):
    """Another process holds the folder."""


class HeldFolder:
    """A folder under an exclusive flock for as long as this process lives.

    Raises:
        FolderHeld: another process holds it.
        FolderUnusable: it cannot be made or written.
    """

    def __init__(self, path: Path, holder: str) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FolderUnusable(f"state folder {path}: {error.strerror}") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise FolderHeld(f"state folder {path}: another {holder} holds it") from None

    def release(self) -> None:
        """Let go of it; idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def instance(folder: HeldFolder) -> str:
    """Give the folder's own id, made once: it tells one installation from another.

    Raises:
        FolderUnusable: it cannot be read or written.
    """
    path = folder.path / "instance"
    try:
        if not path.exists():
            path.write_text(secrets.token_hex(4))
        text = path.read_text()
    except (OSError, ValueError) as error:
        raise FolderUnusable(f"state folder {folder.path}: {path.name}: {error}") from None
    if not re.fullmatch("[0-9a-f]{8}", text):
        raise FolderUnusable(f"{path} must hold 8 hex digits; remove it to have another made")
    return text
