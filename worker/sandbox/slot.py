"""One slot: its helper process, and the job in it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from runyard.protocols.limits import Limits
from runyard.worker.sandbox.channel import RightsChannel
from runyard.worker.sandbox.inputs import Inputs
from runyard.worker.sandbox.interface import SandboxError
from runyard.worker.sandbox.slotjob import SlotJob, Way
from runyard.worker.sandbox.slotroles import Helper, Meter

SETTLE_S = 0.002
SETTLE_TRIES = 500
START_S = 10.0
END_S = 15.0

log = Logger()


class Owner(Protocol):
    """Whoever keeps slots, and is told of what becomes of them."""

    def gone(self, slot: Slot) -> Deferred[None]:
        """Its helper has ended; fires when nothing of its job is left."""

    def idle(self, slot: Slot) -> None:
        """It has ended a job, or its helper is ready."""


StartHelper = Callable[[socket.socket, Callable[[], None]], Helper]
"""Starts a helper with its end of the slot's socket, and what is to be called when it has ended."""

OpenWay = Callable[[socket.socket, str], Way]
"""Serves an attempt's way to the network, on a socket that listens where it runs."""


class Slot:
    """A helper process that runs one job at a time.

    An `early`
    slot takes a job before its helper is ready, which then has to wait for it: where that is for
    the few milliseconds of the helper's start. One that `warms` says anew that it is ready after
    each job, and takes the next before that too.

    Attributes:
        number: Its place among the worker's slots.
        ready: Whether the helper has said that it takes jobs, and is still there.
        runs: How many jobs it has taken.
        retired: Whether another takes its place, so that its end is no fault.

    Raises:
        OSError: the helper cannot be started; nothing is left open.
    """

    def __init__(
        self,
        reactor: Any,
        number: int,
        start: StartHelper,
        owner: Owner,
        *,
        early: bool = False,
        warms: bool = False,
        meter: Meter | None = None,
        open_way: OpenWay | None = None,
    ) -> None:
        self.reactor = reactor
        self.number = number
        self.job: SlotJob | None = None
        self.ready = False
        self.runs = 0
        self.retired = False
        self.exited: Deferred[None] = Deferred()
        self._early = early
        self._warms = warms
        self._meter = meter
        self._open_way = open_way
        self._attempt = ""
        self._given_up = False
        self._killing = False
        self._closed = False
        self._began = 0.0
        self._owner = owner
        self._why = "the slot's helper process ended"
        self._watchdog: IDelayedCall | None = None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            with theirs:
                self._helper = start(theirs, self._exited)
            undo.pop_all()
        self._channel = RightsChannel(reactor, ours, self._packet, self._lost)

    @property
    def free(self) -> bool:
        """Whether it takes a job now."""
        return self.job is None and not self._given_up and (self.ready or self._early)

    def run(
        self, attempt: str, inputs: Inputs, limits: Limits, started: Callable[[], None]
    ) -> SlotJob:
        """Start a job with its inputs, whose descriptors stay ours.

        Raises:
            SandboxError: the helper does not take it.
            OSError: there are no descriptors for it.
        """
        job = SlotJob(self.reactor, self, inputs, limits.output_bytes, started)
        try:
            if self._meter is not None:
                self._meter.begin(limits, job.end_for_cpu)
            self._channel.send_packet({"run": attempt}, inputs.descriptors(job.write_ends))
        except OSError as error:
            job.done.addErrback(lambda _: None)
            job.failed(str(error))
            self.abandon()
            raise SandboxError(f"the slot's helper does not answer: {error}") from None
        finally:
            job.close_write_ends()
        self.job = job
        self._attempt = attempt
        self.runs += 1
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
        self._given_up = self._closed = True
        self.ready = False
        self._disarm()
        self._channel.close()

    def abandon(self) -> None:
        """Kill a helper that does not do its work; what it ran dies with it (PDEATHSIG)."""
        self.close()
        self._end_helper()

    def _end_helper(self) -> None:
        self._helper.kill()

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
        descriptors = packet.pop("descriptors", [])
        try:
            if "listens" in packet:
                self._serve(descriptors)
            else:
                self._heard(packet)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _serve(self, descriptors: list[int]) -> None:
        """The job is about to start, and its way out is here for us to serve."""
        if self.job is None:
            return
        if self._open_way is None or not descriptors:  # there was none free to receive it
            self._overdue("no way out can be served for its job")
            return
        listening = socket.socket(fileno=descriptors.pop())
        self.job.way = self._open_way(listening, self._attempt)

    def _heard(self, packet: dict[str, Any]) -> None:
        if "ready" in packet:
            self._settle(SETTLE_TRIES)
            return
        job = self.job
        if job is None:
            return
        if "started" in packet:
            if not self._killing:
                self._disarm()
            self._began = self.reactor.seconds()
            job.started()
            return
        self._disarm()
        self.job = None
        if self._warms:
            rests = self._meter is None or self._meter.rests()
            self.ready, self._early = False, rests and not self._given_up
        if packet.get("busy"):  # with what its jobs have left; it says when it is ready
            self.ready = self._early = False
        measured = self._meter.end() if self._meter is not None else {}
        if "failed" in packet:
            self._fail(job, packet["failed"], measured)
            return
        if not packet["clean"]:
            log.error("processes of a job would not end; its slot's helper is replaced")
            self._given_up, self.ready = True, False
        job.ended(packet | measured)
        self._owner.idle(self)

    def _settle(self, tries: int) -> None:
        """Be ready, as soon as the last job's memory is free: else the next would lack it."""
        if self._meter is not None and self.job is None:
            if tries and not self._meter.rests():
                self._early = False
                self._watchdog = self.reactor.callLater(SETTLE_S, self._settle, tries - 1)
                return
            self._meter.idle()
        self.ready, self._early = not self._given_up, False
        self._owner.idle(self)

    def _fail(self, job: SlotJob, why: str, measured: dict[str, Any]) -> None:
        """Its end was not seen; where the kernel killed for its memory, that was it.

        Who keeps a job counts in its group too, and is what is left there to kill for its files.
        """
        if job.running and measured.get("oom_kills"):
            job.killed(self.reactor.seconds() - self._began, measured)
        else:
            job.failed(why)

    def _lost(self) -> None:
        """Its socket closed, so it ends; the job's end is told when nothing of it can be left."""
        self._given_up, self.ready = True, False  # no job is handed to it meanwhile
        self._end_helper()

    def _exited(self) -> None:
        """The helper is gone; its job's end is told when nothing of the job is left."""
        measured: dict[str, Any] = {}
        if self._meter is not None:
            if self.job is not None and not self._closed:  # else it is we who have ended it
                measured = self._meter.end()
            self._meter.remove()
        self.close()
        self._owner.gone(self).addErrback(self._bug).addCallback(self._all_gone, measured)

    def _bug(self, failure: Failure) -> None:
        log.failure("after a slot's helper had ended", failure)

    def _all_gone(self, _: None, measured: dict[str, Any]) -> None:
        job, self.job = self.job, None
        if job is not None:
            self._fail(job, self._why, measured)
        self.exited.callback(None)
