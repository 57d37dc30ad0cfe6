"""What keeps an address dialled."""

from __future__ import annotations

from collections.abc import Callable

from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory, IReactorTime, IStreamClientEndpoint


class Dialler(ClientService):
    """Ends its connection as the protocol does: in order, and by force where that takes long.

    By itself it would wait for a peer that hangs, and over TLS for a registered producer.
    """

    def __init__(
        self,
        clock: IReactorTime,
        endpoint: IStreamClientEndpoint,
        factory: IProtocolFactory,
        pause: Callable[[int], float],
        hang_up: Callable[[], None],
    ) -> None:
        super().__init__(endpoint, factory, retryPolicy=pause, clock=clock)
        self._hang_up = hang_up

    def stopService(self) -> Deferred[None]:
        """Hang up; fires when the connection is gone."""
        self._hang_up()
        stopping: Deferred[None] = super().stopService()
        return stopping
