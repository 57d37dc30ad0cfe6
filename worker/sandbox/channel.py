"""The worker's end of a slot's socket: whole packets in both directions, with descriptors."""

from __future__ import annotations

import array
import json
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.main import CONNECTION_LOST

MAX_PACKET = 4 * 1024


class PacketChannel(FileDescriptor):
    """A SOCK_SEQPACKET socket read by the reactor."""

    def __init__(
        self,
        reactor: IReactorFDSet,
        sock: socket.socket,
        packet: Callable[[dict[str, Any]], None],
        closed: Callable[[], None],
    ) -> None:
        super().__init__(reactor)
        self._socket = sock
        self._packet = packet
        self._closed = closed
        sock.setblocking(False)
        self.connected = 1
        self.startReading()

    def fileno(self) -> int:
        """Name the descriptor; -1 once closed, as the reactor expects."""
        return self._socket.fileno()

    def send_packet(self, packet: dict[str, Any], descriptors: list[int]) -> None:
        """Send a packet.

        Raises:
            OSError: the helper is gone or takes nothing, or the packet is too large.
        """
        rights = array.array("i", descriptors)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
        self._socket.sendmsg([json.dumps(packet).encode()], ancillary)

    def doRead(self) -> Exception | None:
        """Read one packet; called by the reactor."""
        try:
            data = self._socket.recv(MAX_PACKET)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_LOST
        self._packet(json.loads(data))
        return None

    def connectionLost(self, reason: object) -> None:
        """The helper is gone, says the reactor, which may mean an earlier owner of the number."""
        if self._socket.fileno() >= 0 and self._is_quiet():
            self.startReading()
            return
        self.close()
        self._closed()

    def _is_quiet(self) -> bool:
        """Whether the helper's end is open and nothing has come."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Close our end, which ends the helper; idempotent."""
        if self._socket.fileno() >= 0:
            self.stopReading()
            self._socket.close()


class RightsChannel(PacketChannel):
    """A packet socket whose packets may carry descriptors, given as ``values["descriptors"]``."""

    def doRead(self) -> Exception | None:
        """Read one packet; called by the reactor."""
        room = socket.CMSG_SPACE(2 * array.array("i").itemsize)
        try:
            data, ancillary, _, _ = self._socket.recvmsg(MAX_PACKET, room, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_LOST
        rights = array.array("i")
        for _, _, payload in ancillary:
            rights.frombytes(payload)
        self._packet(json.loads(data) | {"descriptors": list(rights)})
        return None
