"""The worker's end of one checking child: started, asked, killed."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from runyard.worker.formats.confine import Bounds
from runyard.worker.sandbox.channel import PacketChannel

PROGRAM = Path(__file__).with_name("child.py")
ROOT = Path(__file__).parents[3]
NEEDED = (
    "jsonschema", "jsonschema_specifications", "referencing", "rpds", "attr", "attrs",
    "typing_extensions",
)  # fmt: skip
MAX_ANSWER = 128 * 1024


class Child(Protocol):
    """A checking child, as the checker uses it."""

    exited: Deferred[None]

    def ask(self, request: dict[str, Any], descriptor: int) -> None:
        """Send a request; the descriptor stays ours. Raises OSError: it takes nothing."""

    def kill(self) -> None:
        """End it now; idempotent."""


Events = Callable[[dict[str, Any]], None]
Gone = Callable[[str], None]
Start = Callable[[Events, Gone], Child]


class VerdictChannel(PacketChannel):
    """A packet socket whose packets may be as long as a verdict, and need not be JSON."""

    def doRead(self) -> Exception | None:
        """Read one packet; what is no JSON object ends the channel."""
        try:
            data = self._socket.recv(MAX_ANSWER)
            values = json.loads(data)
        except BlockingIOError:
            return None
        except (OSError, ValueError, RecursionError):
            return CONNECTION_LOST
        if not isinstance(values, dict):
            return CONNECTION_LOST
        self._packet(values)
        return None


class CheckingChild(ProcessProtocol):
    """A checking process. `packet` hears what it says, `gone` once why it ended.

    Attributes:
        exited: Fires when the process has ended and is reaped.
        pid: Its number.

    Raises:
        OSError: it cannot be started; nothing is left open.
    """

    def __init__(self, reactor: Any, bounds: Bounds, packet: Events, gone: Gone) -> None:
        self.exited: Deferred[None] = Deferred()
        self._gone = gone
        order = {
            "path": import_path(), "parent": os.getpid(), "bounds": attrs.asdict(bounds),
        }  # fmt: skip
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            with theirs, Path(os.devnull).open("r+b", buffering=0) as null:
                nowhere = null.fileno()
                self._process = reactor.spawnProcess(
                    self,
                    sys.executable,
                    [sys.executable, "-I", "-S", str(PROGRAM), json.dumps(order)],
                    env={},
                    path="/",
                    childFDs={0: nowhere, 1: nowhere, 2: nowhere, 3: theirs.fileno()},
                )
            undo.pop_all()
        self.pid: int = self._process.pid
        self._channel = VerdictChannel(reactor, ours, packet, self.kill)

    def ask(self, request: dict[str, Any], descriptor: int) -> None:
        """Send a request; the descriptor stays ours. Raises OSError: it takes nothing."""
        self._channel.send_packet(request, [descriptor])

    def kill(self) -> None:
        """End it now; `gone` hears when it has ended. Idempotent."""
        self._channel.close()
        with contextlib.suppress(ProcessExitedAlready):
            self._process.signalProcess("KILL")

    def processExited(self, reason: Failure) -> None:
        """Tell the checker."""
        self._channel.close()
        number = getattr(reason.value, "signal", None)
        code = getattr(reason.value, "exitCode", None)
        self._gone(f"it was ended by signal {number}" if number else f"it ended with {code}")
        self.exited.callback(None)


def import_path() -> list[str]:
    """List the folders that the child imports from: few, absolute, none of the current folder."""
    folders = [str(ROOT)]
    for name in NEEDED:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            above = 1 if spec.submodule_search_locations is None else 2
            folders.append(str(Path(spec.origin).absolute().parents[above - 1]))
    return list(dict.fromkeys(folders))
