"""One job in a slot: its pipes, what its process tells, and its end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorFDSet
from twisted.python.failure import Failure

from runyard.worker.sandbox.inputs import Found, Inputs, Said
from runyard.worker.sandbox.interface import Ending, SandboxError
from runyard.worker.sandbox.pipes import CappedPipe


class Keeper(Protocol):
    """What a job asks of its slot."""

    def kill(self) -> None:
        """Have the job's processes ended."""

    def renew(self, seconds: float) -> None:
        """Renew the job's lease."""

    def trace(self) -> None:
        """Have the job's process tell where it is."""


class Way(Protocol):
    """A job's way to the network, as it is served from outside."""

    def stop(self) -> Deferred[None]:
        """Close it at once; fires when nothing is left of its connections. It may be repeated."""


class SlotJob:
    """A job in a slot: its pipes, and the Deferred of its end.

    Raises:
        OSError: there are no descriptors for its pipes; none is left open.
    """

    def __init__(
        self,
        reactor: IReactorFDSet,
        slot: Keeper,
        inputs: Inputs,
        cap: int,
        started: Callable[[], None],
    ) -> None:
        self.done: Deferred[Ending] = Deferred()
        self.running = False
        self.over_cpu = False
        self.way: Way | None = None
        self._slot = slot
        self._started = started
        self._folder = inputs.folder
        self._full: str | None = None
        self._finished = False
        self._pipes: dict[str, CappedPipe] = {}
        self.write_ends: list[int] = []
        with contextlib.ExitStack() as undo:
            undo.callback(self._undo)
            self._said = Said(inputs.stdin, inputs.stdin_size)
            undo.callback(self._said.close)
            self._found = Found(inputs.files, inputs.files_size)
            undo.callback(self._found.close)
            for name in ("stdout", "stderr"):
                read_end, write_end = os.pipe()
                self.write_ends.append(write_end)
                self._pipes[name] = CappedPipe(
                    reactor, read_end, cap, partial(self._stream_full, name)
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

    def end_for_cpu(self) -> None:
        """End it: all its processes together have used the processor time that it may."""
        if not self._finished:
            self.over_cpu = True
            self._slot.kill()

    def renew(self, seconds: float) -> None:
        """Let it run on for so long from now."""
        if not self._finished:
            self._slot.renew(seconds)

    def trace(self) -> None:
        """Have its process tell where it is."""
        if not self._finished:
            self._slot.trace()

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
        closed = self._close_way()
        self.watch(None)
        stdout, stderr = (self._pipes[name].finish() for name in ("stdout", "stderr"))
        pipes, self._pipes = self._pipes, {}  # they hold us: a cycle would keep the output
        full = self._full or next((n for n, p in pipes.items() if p.truncated), None)
        ending = Ending(
            status=packet["ended"],
            stdout=stdout,
            stderr=stderr,
            stdout_truncated=pipes["stdout"].truncated,
            stderr_truncated=pipes["stderr"].truncated,
            full=full,
            measured=pipes[full].measured if full is not None else 0,
            wall_s=packet["wall_s"],
            cpu_s=packet["cpu_s"],
            main_cpu_s=packet.get("main_cpu_s"),
            max_rss_bytes=packet["max_rss_bytes"],
            late=packet["late"],
            forsaken=packet["forsaken"],
            clean=packet["clean"],
            oom_kills=packet.get("oom_kills", 0),
            pids_refused=packet.get("pids_refused", 0),
            over_cpu=self.over_cpu,
            disk_full=packet.get("disk_full", False),
            names_full=packet.get("names_full", 0),
            peak_bytes=packet.get("peak_bytes"),
            told=self._said.take(self._folder),
            files=self._found.take(),
        )
        closed.addCallback(lambda _: self.done.callback(ending))

    def killed(self, wall_s: float, measured: dict[str, Any]) -> None:
        """The kernel killed it, and who would have told of it as well: by the group's counters."""
        cpu_s = measured.get("group_cpu_s", 0.0)
        unseen = {"max_rss_bytes": 0, "late": False, "forsaken": False, "clean": True}
        self.ended({"ended": signal.SIGKILL, "wall_s": wall_s, "cpu_s": cpu_s} | unseen | measured)

    def failed(self, why: str) -> None:
        """It could not be run, or its end was not seen."""
        if self._finished:
            return
        self._finished = True
        pipes, self._pipes = self._pipes, {}
        for pipe in pipes.values():
            pipe.close()
        self._said.close()
        self._found.close()
        error = Failure(SandboxError(why))
        self._close_way().addCallback(lambda _: self.done.errback(error))

    def _close_way(self) -> Deferred[None]:
        """Close its way out, before the slot's next job; it fires when that is done."""
        way, self.way = self.way, None
        return way.stop() if way is not None else succeed(None)
