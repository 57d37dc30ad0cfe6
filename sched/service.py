"""The scheduler's life: started in order, drained in order."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from runyard.daemon.exits import bound
from runyard.daemon.waiting import within
from runyard.protocols.tasks import Reason
from runyard.sched.dispatcher import Dispatcher
from runyard.sched.local import LocalWorker
from runyard.sched.roster import Roster
from runyard.sched.tickets import Tickets
from runyard.sched.web import BoundedSite

ANSWER_S = 5.0

log = Logger()


class SchedulerService(Service):
    """Serves both HTTP ports over a set of links.

    `stopService` is the whole drain: no new connection, 503 on kept ones; what runs may finish
    within the drain timeout; what waits is answered; then the links and our own workers end.
    """

    def __init__(
        self,
        reactor: Any,
        interface: str,
        sites: Sequence[tuple[str, int, BoundedSite]],
        dispatcher: Dispatcher,
        tickets: Tickets,
        roster: Roster,
        links: Sequence[IService],
        pool: ThreadPool,
        drain_timeout: float,
    ) -> None:
        self.ports: dict[str, IListeningPort] = {}
        self._reactor = reactor
        self._interface = interface
        self._sites = sites
        self._dispatcher = dispatcher
        self._tickets = tickets
        self._roster = roster
        self._links = links
        self._pool = pool
        self._drain_timeout = drain_timeout

    def privilegedStartService(self) -> None:
        """Listen first: a port that cannot be had ends the process with a word why."""
        super().privilegedStartService()
        endpoint = TCP6ServerEndpoint if ":" in self._interface else TCP4ServerEndpoint
        for name, number, site in self._sites:
            listening = endpoint(self._reactor, number, interface=self._interface).listen(site)
            what = f"{self._interface} port {number} ({name})"
            self.ports[name] = bound("scheduler", what, listening)

    def startService(self) -> None:
        """Dial the workers, or start them."""
        super().startService()
        self._pool.start()
        for link in self._links:
            link.startService()
        for name in self.ports:
            log.info("{name} server at {url}", name=name, url=self.url(name))

    def url(self, name: str) -> str:
        """Give the address of one of the servers."""
        host = f"[{self._interface}]" if ":" in self._interface else self._interface
        number = self.ports[name].getHost().port  # type: ignore[attr-defined]
        return f"http://{host}:{number}"

    def stopService(self) -> Deferred[None]:
        """Drain, then stop; fires when all is quiet."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def hurry(self) -> None:
        """Cancel what still runs: somebody does not want to wait for it."""
        for ticket in self._tickets.unfinished():
            self._dispatcher.stop(ticket, Reason.RESTART)

    def reload(self) -> None:
        """Have our own workers read their formats anew."""
        for link in self._links:
            if isinstance(link, LocalWorker):
                link.reload()

    async def _stop(self) -> None:
        self._dispatcher.draining = True
        await DeferredList([maybeDeferred(port.stopListening) for port in self.ports.values()])
        waiting = [t for t in self._tickets.unfinished() if not t.attempts]
        for ticket in waiting:
            self._dispatcher.stop(ticket, Reason.RESTART)
        running = self._tickets.unfinished()
        if running:
            log.info("waiting for {count} running tasks", count=len(running))
        everyone = _all([ticket.wait() for ticket in running])
        if not await within(self._reactor, everyone, self._drain_timeout):
            self.hurry()
            rest = _all([ticket.wait() for ticket in self._tickets.unfinished()])
            await within(self._reactor, rest, ANSWER_S)
        answered = _all([site.when_answered() for _, _, site in self._sites])
        await within(self._reactor, answered, ANSWER_S)
        await _all([maybeDeferred(link.stopService) for link in self._links])
        self._pool.stop()


def _all(waited: Sequence[Deferred[Any]]) -> Deferred[Any]:
    return DeferredList(list(waited), consumeErrors=True)


def banner(service: SchedulerService, isolation: str) -> None:
    """Tell the person at the terminal where to go, once the first worker is there."""
    stream = sys.__stdout__ or sys.stdout
    production = service.url("production")
    warning = (
        "\n  Isolation is none: tasks run as ordinary processes of this machine."
        "\n  Do not run code that you do not trust.\n"
        if isolation == "none"
        else ""
    )
    stream.write(
        f"\n  runyard is ready.\n\n    production  {production}\n"
        f"    debug       {service.url('debug')}\n    isolation   {isolation}\n{warning}\n"
        f"  Try:  curl '{production}/execute?code=print(6*7)'\n  Stop: Ctrl-C\n\n"
    )
    stream.flush()
