"""A slot without a reactor that runs, whose helper is the test."""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import MemoryReactorClock

from runyard.protocols.limits import Limits
from runyard.worker.sandbox.inputs import make_inputs
from runyard.worker.sandbox.slot import Slot

ENDED = {
    "ended": 0, "wall_s": 0.1, "cpu_s": 0.1, "max_rss_bytes": 1, "late": False, "forsaken": False,
    "clean": True,
}  # fmt: skip


class Way:
    """A way out that is closed when the test says."""

    def __init__(self, listening: socket.socket, attempt: str) -> None:
        self.listening = listening
        self.attempt = attempt
        self.stopped: Deferred[None] | None = None

    def stop(self) -> Deferred[None]:
        self.listening.close()
        self.stopped = Deferred()
        return self.stopped


class Bench:
    """A slot whose helper is the test; it owns itself."""

    def __init__(self) -> None:
        self.ways: list[Way] = []
        self.kills = 0
        self.slot = Slot(
            MemoryReactorClock(), 0, self.start, self, warms=True, open_way=self.open
        )  # fmt: skip

    def start(self, theirs: socket.socket, exited: Any) -> Any:
        self.helper, self.exited = theirs.dup(), exited
        return self

    def open(self, listening: socket.socket, attempt: str) -> Way:
        self.ways.append(Way(listening, attempt))
        return self.ways[-1]

    def kill(self) -> None:
        self.kills += 1

    def gone(self, slot: Slot) -> Deferred[None]:
        return succeed(None)

    def idle(self, slot: Slot) -> None: ...

    def says(self, packet: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
        """Have the helper send a packet, and the slot read it."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        self.helper.sendmsg([json.dumps(packet).encode()], rights if descriptors else [])
        self.slot._channel.doRead()

    def listens(self) -> None:
        """Have the job's process hand over a listening socket."""
        with socket.socket() as made:
            self.says({"listens": 1}, (made.fileno(),))

    def run(self) -> Any:
        self.says({"ready": True})
        inputs = make_inputs(b"order", b"1", b"", "/task")
        try:
            return self.slot.run("a.1", inputs, Limits(), lambda: None)
        finally:
            inputs.close()

    def end(self) -> None:
        self.slot.close()
        if not self.slot.exited.called:
            self.exited()
        self.helper.close()


@contextlib.contextmanager
def a_bench() -> Iterator[Bench]:
    """Have one, which must leave no descriptor; no fixture, beside which the reactor opens some."""
    before = len(os.listdir("/proc/self/fd"))
    made = Bench()
    yield made
    made.end()
    assert len(os.listdir("/proc/self/fd")) == before, "a descriptor is left"
