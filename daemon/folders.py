"""Folders that one process holds at a time."""

from __future__ import annotations

import fcntl
import os
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
