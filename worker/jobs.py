"""The folder in which tasks' working folders are made; it never outlives its worker for long."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from runyard.worker.sandbox.removal import remove

PREFIX = "runyard-"
REMOVE_S = 10.0

log = Logger()


class JobsFolder:
    """A fresh folder under the system's temporary one, which the tasks' user may enter.

    Its path is written into the worker's state folder. A later start that holds that folder's lock
    removes what an earlier one, ended by force, has left: only what was written down, no patterns.
    What cannot be removed is logged, stays written down, and is tried again by the next start.

    Attributes:
        cleaned: Fires when what earlier starts left has been tried; set by `make`.
    """

    def __init__(self, reactor: Any, state: Path) -> None:
        self._reactor = reactor
        self._note = state / "jobs"
        self._path: Path | None = None
        self._leaving = False
        self._noted: list[Path] = []
        self._held: int | None = None
        self.cleaned: Deferred[None]

    @property
    def path(self) -> Path:
        """Where it is; there is none before `make`."""
        if self._path is None:
            raise RuntimeError("the jobs folder has not been made yet")
        return self._path

    def make(self) -> None:
        """Make it, and begin to remove what earlier starts left, in a thread.

        Raises:
            OSError: it cannot be made or written down.
        """
        earlier = self._read_note()
        self._path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._noted = [*earlier, self._path]
        self._write_note()
        # Enter, not list: a task reaches its own folder below, and sees no other's name.
        self._path.chmod(0o711)
        self._hold(self._path)
        self.cleaned = self._remove(earlier, float("inf"))

    def remove(self) -> Deferred[None]:
        """Remove it with all that is left in it, in a thread; fires after some seconds at most."""
        self._leaving = True
        if self._held is not None:
            os.close(self._held)
            self._held = None
        return self._remove([self._path] if self._path is not None else [], REMOVE_S)

    def _hold(self, path: Path) -> None:
        """Lock the folder: what cleans up by age passes over such (tmpfiles.d)."""
        self._held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(self._held, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def _read_note(self) -> list[Path]:
        try:
            noted = [Path(line) for line in self._note.read_text().splitlines()]
        except (OSError, ValueError):
            return []
        return [each for each in noted if each.is_absolute() and each.name.startswith(PREFIX)]

    def _write_note(self) -> None:
        if self._noted:
            self._note.write_text("".join(f"{path}\n" for path in self._noted))
        else:
            self._note.unlink(missing_ok=True)

    def _remove(self, paths: list[Path], seconds: float) -> Deferred[None]:
        own = self._path

        def work() -> list[Path]:
            until = time.monotonic() + seconds
            return [path for path in paths if remove(str(path), partial(go_on, path, until))]

        def go_on(path: Path, until: float) -> bool:
            # What earlier starts left never holds this one's end up.
            return time.monotonic() < until and (path == own or not self._leaving)

        def note(gone: list[Path]) -> None:
            self._noted = [path for path in self._noted if path not in gone]
            for path in set(paths) - set(gone):
                log.warn("{path} could not be removed yet; the next start tries again", path=path)
            with contextlib.suppress(OSError):
                self._write_note()

        if not paths:
            return succeed(None)
        pool = self._reactor.getThreadPool()
        return deferToThreadPool(self._reactor, pool, work).addCallback(note)
