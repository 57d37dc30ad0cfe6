"""The workers that a scheduler without others starts by itself, on this machine."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from runyard.daemon.folders import FolderHeld, FolderUnusable, HeldFolder
from runyard.daemon.waiting import follow, within
from runyard.sched.link import WorkerLink

LOOK_S = 0.5
RESTART_S = 0.5
RESTART_MOST_S = 30.0
STEADY_S = 60.0
STOP_S = 10.0
VERSION = version("runyard")
TWISTD = "from twisted.scripts.twistd import run; run()"

log = Logger()


def command(state: Path, name: str, options: Sequence[str]) -> list[str]:
    """Give the command line of a local worker."""
    folder = state / "workers" / name
    keys = state / "keys"
    return [
        sys.executable, "-P", "-c", TWISTD, "--nodaemon", "--pidfile=",
        f"--logfile={folder / 'log'}",
        "worker", "--local", f"--name={name}", f"--state={folder}",
        f"--listen=unix:{folder / 'socket'}:mode=600",
        f"--controller-key={keys / 'controller.pub'}", f"--fleet-secret={keys / 'fleet.secret'}",
        *options,
    ]  # fmt: skip


class LocalWorker(Service, ProcessProtocol):
    """Sees to it that a worker runs in its folder, and that it ends when we end.

    Whether one lives there is asked of its folder's lock, which every worker holds: one that an
    earlier scheduler left is adopted by dialling it, a dead one is started anew, with back-off.
    """

    def __init__(
        self,
        reactor: Any,
        folder: Path,
        argv: list[str],
        link: WorkerLink,
        hopeless: Callable[[str], None],
    ) -> None:
        self.link = link
        self._reactor = reactor
        self._folder = folder
        self._argv = argv
        self._hopeless = hopeless
        words = "\0".join([*argv, sys.version, VERSION])
        self._digest = hashlib.sha256(words.encode()).hexdigest()
        self._process: Any = None
        self._exited: Deferred[None] | None = None
        self._began = 0.0
        self._delay = RESTART_S
        self._not_before = 0.0
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor

    def startService(self) -> None:
        """Dial, and look whether anybody is there to answer."""
        super().startService()
        self.link.service.startService()
        self._loop.start(LOOK_S)

    def _look(self) -> None:
        now = self._reactor.seconds()
        if self._process is not None or now < self._not_before:
            return
        try:
            if self._vacant():
                self._spawn(now)
            elif self._noted() != self._digest and self.link.linked is not None:
                log.info("{name} runs with other options; it is replaced", name=self._folder.name)
                self.link.linked.link.drain(leave=True)
        except (OSError, FolderUnusable) as error:
            self._back_off(now, f"cannot be started: {error}")

    def _vacant(self) -> bool:
        try:
            HeldFolder(self._folder, "worker").release()
        except FolderHeld:
            return False
        return True

    def _noted(self) -> str:
        """What the living worker was started with."""
        try:
            return (self._folder / "options").read_text()
        except FileNotFoundError:
            return ""

    def _spawn(self, now: float) -> None:
        self.link.dead("its process is gone")
        (self._folder / "options").write_text(self._digest)
        self._began = now
        self._exited = Deferred()
        with Path(os.devnull).open("r+b") as null:
            files = {0: null.fileno(), 1: null.fileno(), 2: 2}
            self._process = self._reactor.spawnProcess(
                self, self._argv[0], self._argv, worker_environment(), "/", childFDs=files
            )

    def processExited(self, reason: Failure) -> None:
        """It ended: its tasks are surely gone, and another follows after a pause."""
        self._process = None
        if self._exited is not None:
            self._exited.callback(None)
        self.link.dead("its process has ended")
        if not self.running:
            return
        if self.link.worker is None and not reason.check(ProcessDone):
            self._hopeless(f"the worker in {self._folder} could not start; it says why above")
            return
        now = self._reactor.seconds()
        if now - self._began > STEADY_S:
            self._delay = RESTART_S
        self._back_off(now, f"ended ({reason.getErrorMessage()})")

    def _back_off(self, now: float, why: str) -> None:
        self._not_before = now + self._delay
        log.warn(
            "local worker {name} {why}; another try in {delay:g} s",
            name=self._folder.name, why=why, delay=self._delay,
        )  # fmt: skip
        self._delay = min(self._delay * 2, RESTART_MOST_S)

    def reload(self) -> None:
        """Have it read its formats anew; only one that we started can be told."""
        if self._process is not None:
            self._process.signalProcess("HUP")

    def stopService(self) -> Deferred[None]:
        """Have it end in order, by force if it does not; fires when it is gone."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._loop.running:
            self._loop.stop()
        worker = self.link.linked
        if worker is not None:
            worker.link.drain(leave=True)
            await within(self._reactor, follow(worker.link.lost), STOP_S)
        for name in ("TERM", "KILL"):
            if self._process is not None and self._exited is not None:
                if worker is None or name == "KILL":
                    self._process.signalProcess(name)
                await within(self._reactor, follow(self._exited), STOP_S)
        await self.link.service.stopService()


def worker_environment() -> dict[str, str]:
    """Give what a worker process needs of our environment, and nothing else of it."""
    names = ("PATH", "LANG", "LC_ALL", "TMPDIR", "HOME")
    return {name: os.environ[name] for name in names if name in os.environ}
