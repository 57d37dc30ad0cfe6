"""Reading a job's output: bytes as they were written, never more than the cap."""

from __future__ import annotations

import os
from collections.abc import Callable

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.main import CONNECTION_DONE

CHUNK = 64 * 1024


class CappedPipe(FileDescriptor):
    """The read end of one stream.

    Attributes:
        measured: Bytes seen in all, which passes the cap where the stream did.
        grown: Called whenever more was kept, while somebody watches.
    """

    def __init__(
        self, reactor: IReactorFDSet, descriptor: int, cap: int, full: Callable[[], None]
    ) -> None:
        super().__init__(reactor)
        self._descriptor = descriptor
        self._cap = cap
        self._full = full
        self._kept = bytearray()  # a list could hold millions of single bytes
        self.measured = 0
        self.grown: Callable[[], None] | None = None
        os.set_blocking(descriptor, False)
        self.connected = 1
        self.startReading()

    @property
    def truncated(self) -> bool:
        """Whether the stream passed the cap."""
        return self.measured > self._cap

    def fileno(self) -> int:
        """Name the descriptor; -1 once closed, as the reactor expects."""
        return self._descriptor

    def doRead(self) -> Exception | None:
        """Read a chunk; called by the reactor."""
        try:
            data = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_DONE
        if not data:
            return CONNECTION_DONE
        self._keep(data)
        return None

    def _keep(self, data: bytes) -> None:
        room = max(0, self._cap - self.measured)
        self.measured += len(data)
        self._kept += data[:room]
        if self.truncated:
            self.stopReading()
            self._full()
        if self.grown is not None:
            self.grown()

    @property
    def kept(self) -> int:
        """How many bytes are kept."""
        return len(self._kept)

    def view(self, offset: int, most: int) -> bytes:
        """Give what is kept from an offset on, at most so many bytes."""
        return bytes(self._kept[offset : offset + most])

    def finish(self) -> bytes:
        """Read what is still in the pipe without waiting, close, and give all that was kept."""
        while self._descriptor >= 0 and not self.truncated:
            before = self.measured
            if self.doRead() is not None or self.measured == before:
                break
        self.close()
        kept, self._kept = bytes(self._kept), bytearray()
        return kept

    def connectionLost(self, reason: object) -> None:
        """The other end closed, says the reactor; see whether it is this pipe's.

        One poll may tell of a pipe that is closed, and its number given to this one, before the
        reactor comes to that event: believing it would break the stream of a job just started.
        """
        while self._descriptor >= 0 and not self.truncated:
            before = self.measured
            if self.doRead() is not None:
                break
            if self.measured == before:
                self.startReading()
                return
        self.close()

    def close(self) -> None:
        """Close the read end; idempotent."""
        if self._descriptor >= 0:
            self.stopReading()
            os.close(self._descriptor)
            self._descriptor = -1
