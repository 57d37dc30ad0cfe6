"""Following what an attempt writes while it runs: pure, but for the listener that is told."""

from __future__ import annotations

from collections.abc import Callable

from runyard.protocols.errors import ProtocolError
from runyard.protocols.messages import STREAMS, Output, Watch
from runyard.protocols.tasks import Ended

Listener = Callable[[str, int, bytes], None]
"""Told the stream ("stdout", "stderr"), the offset and the bytes of each piece, in order."""


class Watching:
    """One listener, and how far it has been told each stream: nothing twice, nothing left out.

    Pieces that an earlier listener had asked for on the same link (`crossing`) may still be under
    way; they begin later than this one's first and are left out until that one has come.
    """

    def __init__(self, listener: Listener, *, crossing: bool) -> None:
        self._listener = listener
        self._told = dict.fromkeys(STREAMS, 0)
        self._joined = dict.fromkeys(STREAMS, not crossing)

    def message(self, attempt: str) -> Watch:
        """Build the Watch that asks for what has not been told."""
        return Watch(attempt=attempt, **self._told)

    def relinked(self) -> None:
        """A new link: what was under way on the old one never comes."""
        self._joined = dict.fromkeys(STREAMS, True)

    def output(self, message: Output) -> None:
        """Tell what is new of a piece.

        Raises:
            ProtocolError: it leaves a gap.
        """
        told = self._told[message.stream]
        if message.offset <= told:
            self._joined[message.stream] = True
            self._tell(message.stream, message.data[told - message.offset :])
        elif self._joined[message.stream]:
            raise ProtocolError(f"Output leaves out {message.stream} from {told} on")

    def ended(self, ended: Ended) -> None:
        """Tell what the result has beyond what came before it."""
        self._tell("stdout", ended.stdout[self._told["stdout"] :])
        self._tell("stderr", ended.stderr[self._told["stderr"] :])

    def _tell(self, stream: str, data: bytes) -> None:
        if data:
            offset = self._told[stream]
            self._told[stream] += len(data)
            self._listener(stream, offset, data)
