"""A worker started by itself, beside a scheduler, and what is watched of both."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import requests
from harness import Daemon, System, eventually, system
from rawpeer import free_port

from runyard.daemon.keys import make_keys

QUICK = ("--heartbeat=0.2", "--silence=1", "--lease=1", "--durable-lease=1")
"""Options of a scheduler that notices soon; a busy machine needs more."""


@contextmanager
def worker(folder: Path, keys: Path, listen: str, name: str, slots: int = 2) -> Iterator[Daemon]:
    """Run a worker that a scheduler may dial."""
    make_keys(keys)
    started = Daemon(
        "worker", "--allow-unsandboxed", "--isolation=none",
        f"--listen={listen}", f"--state={folder / name}",
        f"--controller-key={keys / 'controller.pub'}", f"--fleet-secret={keys / 'fleet.secret'}",
        f"--name={name}", f"--slots={slots}", "--drain-timeout=1",
    )  # fmt: skip
    try:
        started.says("listens on")
        yield started
    finally:
        started.stop()


class Parts:
    """A scheduler and a worker that it dials over TCP."""

    def __init__(self, running: System, worker: Daemon, port: int) -> None:
        self.system = running
        self.worker = worker
        self.port = port

    @property
    def keys(self) -> Path:
        return self.system.state / "keys"

    def workers(self) -> set[str]:
        return {each["name"] for each in self.system.workers()}

    def rss(self) -> int:
        """Bytes of both daemons."""
        pids = (self.system.daemon.pid, self.worker.pid)
        return sum(psutil.Process(pid).memory_info().rss for pid in pids)

    def lag(self, seconds: float) -> dict[str, float]:
        """Watch the scheduler's reactor."""
        answer = requests.get(
            f"{self.system.debug_url}/debug/lag", {"wait": str(seconds)}, timeout=60
        )
        found: dict[str, float] = answer.json()
        return found

    def runs(self, word: str = "beside") -> None:
        """A real task succeeds, in one attempt."""
        document = self.system.run(f"print({word!r})")
        assert document["stdout"] == f"{word}\n", document
        assert len(document["attempts"]) == 1, document


@contextmanager
def parts(folder: Path, *options: str, slots: int = 2) -> Iterator[Parts]:
    """Run a scheduler and one real worker, named ``real``."""
    port = free_port()
    listen = f"tcp:{port}:interface=127.0.0.1"
    with (
        worker(folder, folder / "s" / "keys", listen, "real", slots) as daemon,
        system(folder / "s", f"--worker=tcp:127.0.0.1:{port}", *options) as running,
    ):
        found = Parts(running, daemon, port)
        eventually("the real worker is linked", lambda: "real" in found.workers())
        yield found


def about(log: str, port: int) -> list[str]:
    """List the lines of a log that warn about the peer at a port."""
    return re.findall(rf"^.*#(?:warn|error|critical)\].*port={port}\).*$", log, re.MULTILINE)
