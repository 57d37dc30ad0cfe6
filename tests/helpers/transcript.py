"""A conversation of the real classes in memory, written down as docs/protocol.md shows it."""

from __future__ import annotations

import json
import re
from typing import Any

from fakes import a_task
from pair import Pair
from twisted.internet.defer import Deferred
from twisted.test.iosim import FakeTransport, connect

from runyard.protocols.files import File, Files
from runyard.protocols.tasks import Reason, Task
from runyard.protocols.verbs import PAYLOADS
from runyard.worker.link import Identity
from runyard.worker.streaming import COALESCE_S

SHOWN_BYTES = 32
STDIN = b"0123456789abcdef" * 9 * 1024
PROOF = re.compile(r'"proof":"(\w{8})\w+(\w{6})"')
SHORT = r'"proof":"\1...\2"'


def render(mark: str, data: bytes) -> list[str]:
    """Show what one write put on the wire: the header as it was, its payloads shortened."""
    line, _, raw = data.partition(b"\n")
    header = json.loads(line)
    lines = [f"{mark} " + PROOF.sub(SHORT, line.decode())]
    names = list(PAYLOADS.get(header["verb"], {"data": 0}))
    for name, size in zip(names, header.get("payload", []), strict=False):
        payload, raw = raw[:size], raw[size:]
        if payload:
            shown = payload[:SHOWN_BYTES].decode("ascii", "backslashreplace")
            shown = shown.replace("\n", "\\n").replace("\0", "\\0")
            more = "..." if size > SHOWN_BYTES else ""
            lines.append(f"{mark} ({name}: {size} bytes) {shown}{more}")
    assert not raw, "a write is one message"
    return lines


class Recorder(FakeTransport):
    """A transport that writes down what passes, and is full after so many writes if told so."""

    def __init__(self, protocol: Any, mark: str, lines: list[str]) -> None:
        super().__init__(protocol, isServer=mark == "<")
        self.room = -1
        self._mark = mark
        self._lines = lines

    def write(self, data: bytes) -> None:
        self._lines.extend(render(self._mark, data))
        super().write(data)
        self.room -= 1
        if self.room == 0 and self.producer is not None:
            self.producer.pauseProducing()


class Conversation(Pair):
    """A controller and a worker whose conversation is written down."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        super().__init__()

    def connect(self) -> None:
        self.factory.identity = Identity("w1", "boot-1")
        self.server = self.factory.buildProtocol(None)
        self.client = self.link.buildProtocol(None)
        self.pump = connect(
            self.server, Recorder(self.server, "<", self.lines),
            self.client, Recorder(self.client, ">", self.lines), clock=self.clock,
        )  # fmt: skip
        self.pump.flush()

    def says(self, text: str) -> None:
        """Put a remark between the lines."""
        self.lines.append(f"# {text}")

    def start(self, attempt: str, task: Task) -> Deferred[Any]:
        run: Deferred[Any] = self.worker.link.run(attempt, task, lambda: None)
        run.addErrback(lambda _: None)
        self.pump.flush()
        return run

    def job_starts(self) -> None:
        self.sandbox.jobs[-1].started()
        self.pump.flush()

    def later(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.pump.flush()


def conversation() -> list[str]:
    """Hold it, and give its lines."""
    made = Conversation()
    made.lines.insert(0, "# both prove themselves; the scheduler waits for nothing here")
    _watched(made)
    _files(made)
    _not_taken(made)
    _large(made)
    _drained(made)
    _wrong(made)
    assert not made.clock.getDelayedCalls(), "it has come to its end"
    return made.lines


def _watched(made: Conversation) -> None:
    made.says("an attempt that somebody watches")
    made.start("task-1.1", a_task(b"print(6*7)", args=("-v",)))
    made.job_starts()
    session: Any = made.client.session
    session.watch("task-1.1", lambda *piece: None)
    made.pump.flush()
    job = made.sandbox.jobs[-1]
    job.write(b"42\n")
    job.write(b"a warning\n", "stderr")
    made.later(COALESCE_S)
    session.unwatch("task-1.1")
    made.pump.flush()
    made.says("each side's heartbeat")
    made.later(5.0 - COALESCE_S)
    made.says("its end; what was watched comes with it once more, for whoever did not")
    job.end()
    made.pump.flush()


def _files(made: Conversation) -> None:
    made.says("one with a file, which leaves another")
    made.start("task-5.1", a_task(b"...", files=(File("in/a.txt", b"given\n"),)))
    made.job_starts()
    made.sandbox.jobs[-1].end(files=Files((File("b.txt", b"left\n"),), ("big.iso",)))
    made.pump.flush()


def _not_taken(made: Conversation) -> None:
    made.says("one that this worker cannot take")
    made.start("task-2.1", a_task(language="ruby"))


def _large(made: Conversation) -> None:
    made.says("a large input travels in pieces; a Cancel of another attempt passes between them")
    made.start("task-3.1", a_task(b"while True: pass"))
    made.job_starts()
    sender: Any = made.client.transport
    sender.room = 3
    made.start("task-4.1", a_task(b"import sys; print(len(sys.stdin.read()))", stdin=STDIN))
    made.worker.link.cancel("task-3.1", Reason.ASKED)
    made.pump.flush()
    sender.producer.resumeProducing()
    made.pump.flush()
    made.sandbox.jobs[-2].end(status=9)
    made.pump.flush()
    made.job_starts()


def _drained(made: Conversation) -> None:
    made.says("the scheduler asks the worker to leave; what runs comes to its end first")
    made.worker.link.drain(leave=True)
    made.pump.flush()
    made.sandbox.jobs[-1].write(b"147456\n")
    made.sandbox.jobs[-1].end()
    made.pump.flush()


def _wrong(made: Conversation) -> None:
    made.says("a verb that there is not; both close")
    made.client.transport.write(b'{"verb":"Launch"}\n')
    made.pump.flush()
