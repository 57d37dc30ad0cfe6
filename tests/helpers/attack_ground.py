"""What an attack is run against, and how the machine looks around it, inside an outer box."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import psutil
from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as Connection

from runyard.worker.sandbox.interface import Sandbox

SECRET = "RUNYARD_ATTACK_SECRET"
MARKER = "ry_attack_"


@frozen
class Subject:
    """A started sandbox of two slots.

    Attributes:
        keepers: Gives the processes of it that are to outlive every task, by pid.
        recycled: Counts how often it has, of its own will, replaced one of them.
    """

    sandbox: Sandbox
    stop: Callable[[], Deferred[Any]]
    keepers: Callable[[], frozenset[int]]
    recycled: Callable[[], int] = lambda: 0


class SubjectFactory(Protocol):
    """Starts a sandbox of two slots for the tests."""

    def __call__(self, reactor: Any, state: Path) -> Subject:
        """Start it; `state` is a fresh folder."""


def children() -> frozenset[int]:
    """Give this process's own children that live: the default for `keepers`."""
    found = psutil.Process().children()
    return frozenset(c.pid for c in found if _lives(c))


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


@frozen
class View:
    """How the box looks: what an attack must leave as it was."""

    processes: int
    marked: tuple[str, ...]
    mounts: int
    groups: tuple[str, ...]


def look() -> View:
    """Look around in the box: every process of it is seen from here."""
    live, marked = 0, []
    for process in psutil.process_iter(["cmdline", "name"]):
        if not _lives(process):
            continue
        live += 1
        line = process.info["cmdline"] or []
        if process.info["name"] == "ry_evil" or any(MARKER in word for word in line):
            marked.append(f"{process.pid} {' '.join(line)[:100]}")
    mounts = len(Path("/proc/self/mountinfo").read_text().splitlines())
    groups = tuple(sorted(path for path, _, _ in os.walk("/sys/fs/cgroup")))
    return View(live, tuple(marked), mounts, groups)


class Bait:
    """What an attack looks for outside of its sandbox: a port, an abstract socket, a file."""

    def __init__(self, reactor: Any, folder: Path, secret: str) -> None:
        self.visits = 0
        self._file = folder / "secret"
        self._file.write_text(secret)
        self._file.chmod(0o644)
        for above in (folder, *folder.parents):
            with contextlib.suppress(OSError):  # the way to it is open: only a sandbox is between
                above.chmod(above.stat().st_mode | 0o055)
        factory: Any = Factory()
        factory.buildProtocol = self._visited
        self._port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self._abstract = socket.socket(socket.AF_UNIX)
        self._abstract.bind(f"\0{folder.name}")
        self._abstract.listen()
        self._abstract.setblocking(False)
        self.env: tuple[tuple[str, str], ...] = (
            ("HOST_PORT", str(self._port.getHost().port)),
            ("HOST_ABSTRACT", folder.name),
            ("HOST_FILE", str(self._file)),
        )

    def taken(self) -> int:
        """Count the visits since the last count."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._abstract.accept()[0].close()
                self.visits += 1
        count, self.visits = self.visits, 0
        return count

    def close(self) -> Deferred[None]:
        """Take it in."""
        self._abstract.close()
        closed: Deferred[None] = self._port.stopListening()
        return closed

    def _visited(self, address: Any) -> Connection | None:
        self.visits += 1
        return None
