"""The worker's life: started in order, drained in order."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from runyard.daemon.exits import bound, die
from runyard.daemon.waiting import follow, within
from runyard.protocols.tasks import Reason
from runyard.worker.executor import Executor
from runyard.worker.formats.checker import Checker
from runyard.worker.jobs import JobsFolder
from runyard.worker.link import WorkerFactory
from runyard.worker.sandbox.interface import Sandbox

SETTLE_S = 5.0
LOUD_S = 60.0

log = Logger()


def network_words(sandbox: Sandbox) -> str:
    """Say what of the network tasks have; a part of a sentence."""
    if sandbox.isolation == "none":
        return "every task has this machine's network, and nothing filters it"
    return "tasks that ask have a proxy" if sandbox.network else "tasks have no network"


class WorkerService(Service):
    """Listens for controllers and runs their tasks until it is told to stop.

    `stopService` is the whole drain: nothing new, wait for what runs up to the drain timeout, end
    the rest, let results be acknowledged, close the links, end the helpers, remove their folder.
    """

    def __init__(
        self,
        reactor: Any,
        endpoint: IStreamServerEndpoint,
        address: str,
        factory: WorkerFactory,
        door: IProtocolFactory,
        executor: Executor,
        checker: Checker,
        jobs: JobsFolder,
        drain_timeout: float,
    ) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._address = address
        self._factory = factory
        self._door = door
        self._executor = executor
        self._checker = checker
        self._jobs = jobs
        self._drain_timeout = drain_timeout
        self._port: IListeningPort | None = None
        self._loud: LoopingCall | None = None

    def privilegedStartService(self) -> None:
        """Listen first: a port that cannot be had ends the process with a word why."""
        super().privilegedStartService()
        self._port = bound("worker", self._address, self._endpoint.listen(self._door))

    def startService(self) -> None:
        """Make the slots ready, once the port is ours."""
        super().startService()
        try:
            self._jobs.make()
        except OSError as error:
            die("worker", f"the tasks' folder cannot be made: {error}")
        self._executor.sandbox.start()
        self._checker.warm()
        log.info(
            "worker {name} listens on {address}: {slots} slots, isolation {isolation}, {runtimes};"
            " {network}",
            name=self._factory.identity.name, address=self._address, slots=self._executor.slots,
            isolation=self._executor.sandbox.isolation,
            runtimes=", ".join(self._executor.sandbox.runtimes),
            network=network_words(self._executor.sandbox),
        )  # fmt: skip
        if self._executor.sandbox.isolation == "none":
            self._loud = LoopingCall(self._warn)
            self._loud.clock = self._reactor
            self._loud.start(LOUD_S)

    def _warn(self) -> None:
        log.warn(
            "isolation is none: tasks run as ordinary processes of this machine;"
            " do not run code that you do not trust"
        )

    def stopService(self) -> Deferred[None]:
        """Drain, then stop; fires when nothing of this worker is left."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._loud is not None and self._loud.running:
            self._loud.stop()
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
        self._factory.drain(leave=False)
        if not await within(self._reactor, self._executor.when_idle(), self._drain_timeout):
            log.warn("the drain timeout has passed; what still runs is ended")
            self._executor.stop_all(Reason.RESTART)
            await within(self._reactor, self._executor.when_idle(), SETTLE_S)
        await within(self._reactor, self._factory.when_settled(), SETTLE_S)
        links = list(self._factory.links)
        for link in links:
            link.close()
        await DeferredList([link.lost for link in links])
        await self._executor.sandbox.stop()
        await within(self._reactor, follow(self._checker.stop()), SETTLE_S)
        await self._jobs.remove()
