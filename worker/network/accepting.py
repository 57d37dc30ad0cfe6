"""Accepting on a socket that was made in another network namespace, only as much as is wanted."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

RETRY_S = 1.0
_NOTHING_MORE = (errno.EAGAIN, errno.ECONNABORTED, errno.EPERM, errno.EINTR)

log = Logger()


@implementer(IReadDescriptor)
class Acceptor:
    """Takes one connection a turn from a listening socket, while it is not paused.

    Not the reactor's own port: that accepts up to a hundred in one turn, so more than its user
    has room for, and could only close what is too much. Here they wait in the socket's backlog.
    """

    def __init__(
        self, reactor: Any, listening: socket.socket, take: Callable[[socket.socket], None]
    ) -> None:
        self._reactor = reactor
        self._listening = listening
        self._take = take
        self._retry: Any = None
        self._wanted = False
        self._open = True
        listening.setblocking(False)

    def fileno(self) -> int:
        """Give the listening socket's descriptor, -1 once it is closed."""
        return self._listening.fileno()

    def logPrefix(self) -> str:
        """Name this in the reactor's log."""
        return "egress"

    def resume(self) -> None:
        """Accept; what waits to be tried again after an error waits on."""
        self._wanted = self._open
        if self._wanted and self._retry is None:
            self._reactor.addReader(self)

    def pause(self) -> None:
        """Accept no more for now, whatever was to be tried again."""
        self._wanted = False
        self._reactor.removeReader(self)

    def close(self) -> None:
        """Accept no more, and close the socket."""
        if self._open:
            self._open = False
            self.pause()
            if self._retry is not None:
                self._retry.cancel()
            self._listening.close()

    def doRead(self) -> None:
        """Accept one connection; without a descriptor for it, try again in a while."""
        try:
            connection, _ = self._listening.accept()
        except OSError as error:
            if error.errno not in _NOTHING_MORE:
                log.warn("a task's proxy cannot accept: {error}", error=str(error))
                self._reactor.removeReader(self)
                self._retry = self._reactor.callLater(RETRY_S, self._again)
            return
        with connection:
            connection.setblocking(False)
            self._take(connection)

    def _again(self) -> None:
        self._retry = None
        if self._wanted:
            self.resume()

    def connectionLost(self, reason: Failure) -> None:
        """Close the socket: the reactor ends, or saw something wrong with it."""
        self.close()
