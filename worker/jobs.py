"""The folder in which tasks' working folders are made; it never outlives its worker for long."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

PREFIX = "runyard-"


class JobsFolder:
    """A fresh folder under the system's temporary one, which the tasks' user may enter.

    Its path is written into the worker's state folder. A later start that holds that folder's lock
    removes what an earlier one, ended by force, has left: only what was written down, no patterns.
    """

    def __init__(self, state: Path) -> None:
        self._note = state / "jobs"
        self._remove_noted()
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._note.write_text(f"{self.path}\n")
        # Enter, not list: a task reaches its own folder below, and sees no other's name.
        self.path.chmod(0o711)

    def _remove_noted(self) -> None:
        try:
            noted = Path(self._note.read_text().strip())
        except OSError:
            return
        if noted.is_absolute() and noted.name.startswith(PREFIX) and not noted.is_symlink():
            shutil.rmtree(noted, ignore_errors=True)

    def remove(self) -> None:
        """Remove it with all that is left in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._note.unlink(missing_ok=True)
