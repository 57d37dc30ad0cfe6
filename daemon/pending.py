"""No Deferred is lost: what nobody awaits is registered here."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

log = Logger()


class Pending:
    """Deferreds that run by themselves: failures are logged, and a stop can wait for them."""

    def __init__(self) -> None:
        self._running: set[Deferred[Any]] = set()

    def add(self, deferred: Deferred[Any], what: str) -> None:
        """Register one; `what` names it in the log if it fails."""
        self._running.add(deferred)

        def done(result: Any) -> None:
            self._running.discard(deferred)

        deferred.addErrback(lambda failure: log.failure("{what}", failure, what=what))
        deferred.addBoth(done)

    def quiet(self) -> Deferred[Any]:
        """Fire when all that are registered now are done."""
        return DeferredList(list(self._running))
