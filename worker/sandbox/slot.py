"""One slot: its helper process, and the job in it."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from runyard.worker.sandbox.channel import PacketChannel
from runyard.worker.sandbox.inputs import Inputs
from runyard.worker.sandbox.interface import SandboxError
from runyard.worker.sandbox.slotjob import SlotJob

LAUNCHER = Path(__file__).with_name("launcher.py")
START_S = 10.0
END_S = 15.0

log = Logger()


class Slot(ProcessProtocol):
    """A helper process that runs one job at a time, each in a folder below the slot's own.

    `gone` is told when the helper has ended, and fires when nothing of its job is left. An `early`
    slot takes a job before its helper is ready, which then has to wait for it: where the folder is
    new, that is for the few milliseconds of the helper's start.

    Attributes:
        ready: Whether the helper has said that it takes jobs, and is still there.

    Raises:
        OSError: the helper cannot be started; nothing is left open.
    """

    def __init__(
        self,
        reactor: Any,
        folder: Path,
        gone: Callable[[Slot], Deferred[None]],
        *,
        early: bool = False,
    ) -> None:
        self.reactor = reactor
        self.folder = folder
        self.job: SlotJob | None = None
        self.ready = False
        self.exited: Deferred[None] = Deferred()
        self._early = early
        self._given_up = False
        self._killing = False
        self._gone = gone
        self._why = "the slot's helper process ended"
        self._watchdog: IDelayedCall | None = None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            with theirs, Path(os.devnull).open("r+b", buffering=0) as null:
                self._process = reactor.spawnProcess(
                    self,
                    sys.executable,
                    [sys.executable, "-I", "-S", str(LAUNCHER), "3", str(folder)],
                    env={},
                    childFDs={0: null.fileno(), 1: null.fileno(), 2: 2, 3: theirs.fileno()},
                )
            undo.pop_all()
        self._channel = PacketChannel(reactor, ours, self._packet, self._lost)

    @property
    def free(self) -> bool:
        """Whether it takes a job now."""
        return self.job is None and not self._given_up and (self.ready or self._early)

    def run(self, attempt: str, inputs: Inputs, cap: int, started: Callable[[], None]) -> SlotJob:
        """Start a job with its inputs, whose descriptors stay ours.

        Raises:
            SandboxError: the helper does not take it.
            OSError: there are no descriptors for it.
        """
        job = SlotJob(self.reactor, self, inputs, cap, started)
        try:
            self._channel.send_packet({"run": attempt}, [*inputs.descriptors, *job.write_ends])
        except OSError as error:
            job.done.addErrback(lambda _: None)
            job.failed(str(error))
            self.abandon()
            raise SandboxError(f"the slot's helper does not answer: {error}") from None
        finally:
            job.close_write_ends()
        self.job = job
        self._killing = False
        self._arm(START_S, "the job did not start in {0:g} s")
        return job

    def kill(self) -> None:
        """Have the job's processes ended; a helper that does not confirm it is given up."""
        try:
            self._channel.send_packet({"kill": True}, [])
        except OSError:
            self.abandon()
            return
        self._killing = True
        self._arm(END_S, "the job's processes did not end in {0:g} s")

    def renew(self, seconds: float) -> None:
        """Renew the job's lease; a helper that cannot be told keeps to the one it has."""
        with contextlib.suppress(OSError):
            self._channel.send_packet({"renew": seconds}, [])

    def trace(self) -> None:
        """Have the job's process tell where it is, if it can."""
        with contextlib.suppress(OSError):
            self._channel.send_packet({"trace": True}, [])

    def close(self) -> None:
        """End the helper, and with it the job; it takes no other."""
        self._given_up = True
        self.ready = False
        self._disarm()
        self._channel.close()

    def abandon(self) -> None:
        """Kill a helper that does not do its work; what it ran dies with it (PDEATHSIG)."""
        self.close()
        self._end_helper()

    def _end_helper(self) -> None:
        with contextlib.suppress(ProcessExitedAlready):
            self._process.signalProcess("KILL")

    def _arm(self, seconds: float, why: str) -> None:
        self._disarm()
        self._watchdog = self.reactor.callLater(seconds, self._overdue, why.format(seconds))

    def _disarm(self) -> None:
        if self._watchdog is not None and self._watchdog.active():
            self._watchdog.cancel()
        self._watchdog = None

    def _overdue(self, why: str) -> None:
        log.error("a slot's helper is given up: {why}", why=why)
        self._why = why
        self.abandon()

    def _packet(self, packet: dict[str, Any]) -> None:
        if "ready" in packet:
            self.ready, self._early = not self._given_up, False
            return
        job = self.job
        if job is None:
            return
        if "started" in packet:
            if not self._killing:
                self._disarm()
            job.started()
            return
        self._disarm()
        self.job = None
        if "failed" in packet:
            job.failed(packet["failed"])
            return
        if not packet["clean"]:
            log.error("processes of a job would not end; its slot's helper is replaced")
            self._given_up, self.ready = True, False
        job.ended(packet)

    def _fail_job(self, why: str) -> None:
        job, self.job = self.job, None
        if job is not None:
            job.failed(why)

    def _lost(self) -> None:
        """Its socket closed, so it ends; the job's end is told when nothing of it can be left."""
        self._end_helper()

    def processExited(self, reason: Failure) -> None:
        """The helper is gone; its job's end is told when nothing of the job is left."""
        self.close()
        self._gone(self).addErrback(self._bug).addCallback(self._all_gone)

    def _bug(self, failure: Failure) -> None:
        log.failure("after a slot's helper had ended", failure)

    def _all_gone(self, _: None) -> None:
        self._fail_job(self._why)
        self.exited.callback(None)
