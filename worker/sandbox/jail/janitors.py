"""The worker's end of its janitor: has zygotes started, hears of their ends, starts it again."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from runyard.worker.sandbox.channel import RightsChannel
from runyard.worker.sandbox.inputs import memory_file
from runyard.worker.sandbox.orphans import end_orphans

PROGRAM = Path(__file__).with_name("janitor.py")

log = Logger()


@define(eq=False)
class Zygote:
    """A zygote, as its slot sees it."""

    name: int
    exited: Callable[[], None]
    end: Callable[[int], None]
    pidfd: int = field(default=-1)

    def kill(self) -> None:
        """End it by force, with all that runs in its jail; idempotent."""
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        else:
            self.end(self.name)

    def gone(self) -> None:
        """It has ended."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        self.exited()


class JanitorLink(ProcessProtocol):
    """A janitor process, started when it is first needed, and again after it has ended.

    `layout` gives what it is told at its start.
    """

    def __init__(self, reactor: Any, layout: Callable[[], dict[str, Any]]) -> None:
        self.exited: Deferred[None] | None = None
        self._reactor = reactor
        self._layout = layout
        self._channel: RightsChannel | None = None
        self._process: Any = None
        self._zygotes: dict[int, Zygote] = {}
        self._serial = itertools.count(1)

    @property
    def pid(self) -> int | None:
        """The janitor's number while it runs."""
        return self._process.pid if self._process is not None else None

    def start_zygote(
        self, order: dict[str, Any], channel: socket.socket, exited: Callable[[], None]
    ) -> Zygote:
        """Have one started with its end of a slot's socket; `exited` is called when it has ended.

        Raises:
            OSError: there is no janitor, and none can be started, or it takes nothing.
        """
        if self._channel is None:
            self._start()
        zygote = Zygote(next(self._serial), exited, self._end)
        self._send(order | {"zygote": zygote.name}, [channel.fileno()])
        self._zygotes[zygote.name] = zygote
        return zygote

    def close(self) -> Deferred[None] | None:
        """Let it end with all its zygotes; the Deferred fires when it has."""
        if self._channel is not None:
            self._channel.close()
        return self.exited

    def kill(self) -> None:
        """End it by force; its zygotes end with it."""
        if self._process is not None:
            with contextlib.suppress(ProcessExitedAlready):
                self._process.signalProcess("KILL")

    def _start(self) -> None:
        described = memory_file(json.dumps(self._layout()).encode())
        try:
            self._channel = self._spawn()
            self._send({"layout": True}, [described])
        except OSError:
            if self._channel is not None:
                self._channel.close()  # it ends: without a layout it is of no use
            raise
        finally:
            os.close(described)

    def _spawn(self) -> RightsChannel:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            with theirs, Path(os.devnull).open("r+b", buffering=0) as null:
                channel = RightsChannel(self._reactor, ours, self._packet, self._lost)
                undo.callback(channel.close)
                nowhere = null.fileno()
                self._process = self._reactor.spawnProcess(
                    self,
                    sys.executable,
                    [sys.executable, "-I", "-S", str(PROGRAM), "3"],
                    env={},
                    path="/",
                    childFDs={0: nowhere, 1: nowhere, 2: 2, 3: theirs.fileno()},
                )
            undo.pop_all()
        self.exited = Deferred()
        return channel

    def _send(self, packet: dict[str, Any], descriptors: list[int]) -> None:
        if self._channel is None:
            raise OSError("there is no janitor")
        self._channel.send_packet(packet, descriptors)

    def _end(self, name: int) -> None:
        with contextlib.suppress(OSError):
            self._send({"end": name}, [])

    def _packet(self, packet: dict[str, Any]) -> None:
        zygote = self._zygotes.get(packet.get("zygote", 0))
        descriptors = packet["descriptors"]
        if zygote is not None and "pid" in packet and descriptors:
            zygote.pidfd = descriptors.pop(0)
        elif zygote is not None and ("failed" in packet or "exited" in packet):
            if "failed" in packet:
                log.error("a slot's jail could not be made: {why}", why=packet["failed"])
            del self._zygotes[zygote.name]
            zygote.gone()
        for descriptor in descriptors:
            os.close(descriptor)

    def _lost(self) -> None:
        """Its socket closed, so it ends."""
        self.kill()

    def processExited(self, reason: Failure) -> None:
        """The janitor is gone, and every zygote with it: what they ran is reaped first."""
        if self._channel is not None:
            self._channel.close()
        self._channel, self._process = None, None
        zygotes, self._zygotes = self._zygotes, {}  # a next one may start meanwhile
        if zygotes:
            log.error("the janitor ended with {count} slots", count=len(zygotes))
        for zygote in zygotes.values():
            zygote.kill()
        done = Deferred.fromCoroutine(end_orphans(self._reactor))
        done.addErrback(lambda failure: log.failure("after the janitor had ended", failure))
        done.addCallback(self._all_gone, list(zygotes.values()), self.exited)

    def _all_gone(self, _: object, zygotes: list[Zygote], exited: Deferred[None] | None) -> None:
        for zygote in zygotes:
            zygote.gone()
        if self.exited is exited:  # else it is that of the next janitor
            self.exited = None
        if exited is not None:
            exited.callback(None)
