"""One slot: its helper process, and the job in it."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from runyard.worker.sandbox.channel import PacketChannel
from runyard.worker.sandbox.interface import Ending, SandboxError
from runyard.worker.sandbox.pipes import CappedPipe

LAUNCHER = Path(__file__).with_name("launcher.py")
START_S = 10.0
END_S = 15.0

log = Logger()


class SlotJob:
    """A job in a slot: its pipes, and the Deferred of its end.

    Raises:
        OSError: there are no descriptors for its pipes; none is left open.
    """

    def __init__(self, slot: Slot, cap: int, started: Callable[[], None]) -> None:
        self.done: Deferred[Ending] = Deferred()
        self.running = False
        self._slot = slot
        self._started = started
        self._full: str | None = None
        self._finished = False
        self._pipes: dict[str, CappedPipe] = {}
        self.write_ends: list[int] = []
        with contextlib.ExitStack() as undo:
            undo.callback(self._undo)
            for name in ("stdout", "stderr"):
                read_end, write_end = os.pipe()
                self.write_ends.append(write_end)
                self._pipes[name] = CappedPipe(
                    slot.reactor, read_end, cap, partial(self._stream_full, name)
                )
            undo.pop_all()

    def _undo(self) -> None:
        for pipe in self._pipes.values():
            pipe.close()
        self.close_write_ends()

    def close_write_ends(self) -> None:
        """Close our copies of what the job writes to."""
        while self.write_ends:
            os.close(self.write_ends.pop())

    def started(self) -> None:
        """Its process runs."""
        self.running = True
        self._started()

    def kill(self) -> None:
        """End every process of the job now."""
        if not self._finished:
            self._slot.kill()

    def renew(self, seconds: float) -> None:
        """Let it run on for so long from now."""
        if not self._finished:
            self._slot.renew(seconds)

    def watch(self, grown: Callable[[], None] | None) -> None:
        """Have it told when there is more output; None ends that."""
        for pipe in self._pipes.values():
            pipe.grown = grown

    def output(self, stream: str, offset: int, most: int) -> tuple[bytes, int]:
        """Give a piece of a stream from an offset on, and how much there is in all."""
        pipe = self._pipes.get(stream)
        return (pipe.view(offset, most), pipe.kept) if pipe is not None else (b"", 0)

    def _stream_full(self, name: str) -> None:
        if self._full is None and not self._finished:
            self._full = name
            self.kill()

    def ended(self, packet: dict[str, Any]) -> None:
        """Every process of it is gone: what the pipes still hold is all that will ever come."""
        self._finished = True
        self.watch(None)
        stdout, stderr = (self._pipes[name].finish() for name in ("stdout", "stderr"))
        pipes, self._pipes = self._pipes, {}  # they hold us: a cycle would keep the output
        full = self._full or next((n for n, p in pipes.items() if p.truncated), None)
        self.done.callback(
            Ending(
                status=packet["ended"],
                stdout=stdout,
                stderr=stderr,
                stdout_truncated=pipes["stdout"].truncated,
                stderr_truncated=pipes["stderr"].truncated,
                full=full,
                measured=pipes[full].measured if full is not None else 0,
                wall_s=packet["wall_s"],
                cpu_s=packet["cpu_s"],
                max_rss_bytes=packet["max_rss_bytes"],
                late=packet["late"],
                forsaken=packet["forsaken"],
                clean=packet["clean"],
            )
        )

    def failed(self, why: str) -> None:
        """It could not be run, or its end was not seen."""
        if self._finished:
            return
        self._finished = True
        pipes, self._pipes = self._pipes, {}
        for pipe in pipes.values():
            pipe.close()
        self.done.errback(Failure(SandboxError(why)))


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

    def run(
        self, attempt: str, inputs: list[int], cap: int, started: Callable[[], None]
    ) -> SlotJob:
        """Start a job; `inputs` are the descriptors of its order, code and stdin: they stay ours.

        Raises:
            SandboxError: the helper does not take it.
            OSError: there are no descriptors for it.
        """
        job = SlotJob(self, cap, started)
        try:
            self._channel.send_packet({"run": attempt}, [*inputs, *job.write_ends])
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
