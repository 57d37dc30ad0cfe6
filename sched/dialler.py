"""What keeps an address dialled."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen
from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from runyard.protocols.texts import one_line


@implementer(IStreamClientEndpoint)
@frozen(repr=False)
class _Told:
    """An endpoint that tells why a dial failed; the service itself does not."""

    endpoint: IStreamClientEndpoint
    unanswered: Callable[[str], None]

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Dial."""
        dialling: Deferred[IProtocol] = self.endpoint.connect(factory)
        return dialling.addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        self.unanswered(one_line(failure.getErrorMessage())[:200])
        return failure

    def __repr__(self) -> str:
        return repr(self.endpoint)


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
        unanswered: Callable[[str], None],
    ) -> None:
        told = _Told(endpoint, unanswered)
        super().__init__(told, factory, retryPolicy=pause, clock=clock)
        self._hang_up = hang_up

    def stopService(self) -> Deferred[None]:
        """Hang up; fires when the connection is gone."""
        self._hang_up()
        stopping: Deferred[None] = super().stopService()
        return stopping
