"""A host name with several addresses is several workers, and they change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from attrs import define
from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorTime,
    IResolutionReceiver,
)
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from runyard.sched.addresses import TcpPlace, can_be_dialled

RESOLVE_S = 5.0
ANSWER_S = 60.0
MOST_ADDRESSES = 1000

log = Logger()


class Link(Protocol):
    """What is asked of a link to one address."""

    @property
    def service(self) -> Any:
        """What dials, as a service."""

    @property
    def linked(self) -> Any:
        """The worker that is linked there just now, or None."""


@implementer(IResolutionReceiver)
class _Answer:
    """Collects what a resolver finds."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self.done: Deferred[set[str]] = Deferred()

    def resolutionBegan(self, resolution: IHostResolution) -> None:
        """Nothing: it cannot be cancelled."""

    def addressResolved(self, address: IAddress) -> None:
        """Take one address."""
        wanted = isinstance(address, (IPv4Address, IPv6Address)) and can_be_dialled(address.host)
        if wanted and len(self.found) < MOST_ADDRESSES:
            self.found.add(address.host)  # type: ignore[attr-defined]

    def resolutionComplete(self) -> None:
        """Give the answer."""
        self.done.callback(self.found)


@define
class _Dialled:
    link: Link
    idle_since: float | None = None


class NamedWorkers(Service):
    """Keeps a link to each address of a name, which is resolved again every few seconds.

    An address that is no longer in the answer is given up when it has not been linked for a while;
    one that is linked is kept. While the name cannot be resolved, what is known stays, and the
    name stands among what is `unreachable`.
    """

    def __init__(
        self,
        clock: IReactorTime,
        resolver: IHostnameResolver,
        place: TcpPlace,
        make: Callable[[TcpPlace], Link],
        patience: float,
        unreachable: dict[str, str],
    ) -> None:
        self._clock = clock
        self._resolver = resolver
        self._place = place
        self._make = make
        self._patience = patience
        self._unreachable = unreachable
        self._dialled: dict[str, _Dialled] = {}
        self._stopping: set[Deferred[Any]] = set()
        self._failing = False
        self._asked: Deferred[Any] = succeed(None)
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    @property
    def addresses(self) -> list[str]:
        """The addresses that are dialled now."""
        return sorted(self._dialled)

    def startService(self) -> None:
        """Resolve, and dial what is found."""
        super().startService()
        self._loop.start(RESOLVE_S)

    def stopService(self) -> Deferred[Any]:
        """Hang up everywhere; fires when all links have ended."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        self._asked.cancel()
        for ip in self.addresses:
            self._give_up(ip)
        return DeferredList(list(self._stopping))

    def _look(self) -> Deferred[None]:
        # The loop waits for the answer, so that a slow resolver is not asked again meanwhile, but
        # not for ever: some errors of a resolver end in no answer at all.
        answer = _Answer()
        try:
            self._resolver.resolveHostName(answer, self._place.host, self._place.port)
        except Exception as error:  # noqa: BLE001 (a resolver may be a plugin; the loop goes on)
            self._fails(str(error))
            return succeed(None)
        self._asked = answer.done.addTimeout(ANSWER_S, self._clock)
        return answer.done.addCallbacks(self._answered, self._unanswered)

    def _answered(self, found: set[str]) -> None:
        if not self.running:
            return
        if not found:
            self._fails("it has no address just now")
            return
        self._unreachable.pop(str(self._place), None)
        if self._failing:
            self._failing = False
            log.info("{name} is resolved again", name=self._place.host)
        for ip in sorted(found - self._dialled.keys()):
            self._dial(ip)
        self._weed(found)

    def _unanswered(self, failure: Failure) -> None:
        if self.running:
            self._fails(f"no answer within {ANSWER_S:g} s")

    def _fails(self, why: str) -> None:
        self._unreachable[str(self._place)] = f"it cannot be resolved: {why}"
        if not self._failing:
            self._failing = True
            log.warn(
                "{name} cannot be resolved: {why}; {count} known addresses stay",
                name=self._place.host, why=why, count=len(self._dialled),
            )  # fmt: skip

    def _dial(self, ip: str) -> None:
        log.info("{name}: a worker at {ip}", name=self._place.host, ip=ip)
        self._dialled[ip] = _Dialled(self._make(self._place.at(ip)))
        self._dialled[ip].link.service.startService()

    def _weed(self, found: set[str]) -> None:
        now = self._clock.seconds()
        for ip, dialled in list(self._dialled.items()):
            if ip in found or dialled.link.linked is not None:
                dialled.idle_since = None
            elif dialled.idle_since is None:
                dialled.idle_since = now
            elif now - dialled.idle_since >= self._patience:
                log.info("{name}: no longer a worker at {ip}", name=self._place.host, ip=ip)
                self._give_up(ip)

    def _give_up(self, ip: str) -> None:
        stopping = maybeDeferred(self._dialled.pop(ip).link.service.stopService)
        self._stopping.add(stopping)
        stopping.addBoth(lambda _: self._stopping.discard(stopping))
