"""Until when a waiting task must have found a worker, and what to say when it has not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from runyard.sched.needs import BUILT_IN, Need
from runyard.sched.roster import Worker
from runyard.sched.tickets import Ticket

MOST_NAMED = 3


class StartDeadlines:
    """A timer for each ticket that waits for a worker."""

    def __init__(
        self, clock: IReactorTime, seconds: float, passed: Callable[[Ticket], None]
    ) -> None:
        self.seconds = seconds
        self._clock = clock
        self._passed = passed
        self._timers: dict[str, IDelayedCall] = {}

    def start(self, ticket: Ticket) -> None:
        """Give a ticket its time from now."""
        call = self._clock.callLater(self.seconds, self._passed, ticket)
        self._timers[ticket.task.id] = call

    def stop(self, ticket: Ticket) -> None:
        """A ticket needs no worker any more."""
        call = self._timers.pop(ticket.task.id, None)
        if call is not None and call.active():
            call.cancel()


def shortage(need: Need, workers: Iterable[Worker], unreachable: Mapping[str, str]) -> str:
    """Say what is wrong with the workers that meet a need; a part of a sentence."""
    linked = list(workers)
    fit = [each for each in linked if need in each.meets]
    what = repr(need.runtime)
    if need.format not in ("", BUILT_IN):
        what += f" and the format {need.format!r}"
    if need.files:
        what += " and take files"
    if need.network:
        what += " and a way to the network"
    states = Counter(_trouble(each) for each in fit)
    parts = [f"{count} {state}" for state, count in sorted(states.items())]
    text = f"{len(fit)} of {len(linked)} linked workers have {what}"
    if parts:
        text += f" ({', '.join(parts)})"
    failing = [f"{each.name}: {each.health.reason}" for each in fit if each.state == "quarantined"]
    away = [f"{address}: {why}" for address, why in unreachable.items()]
    for title, each in (("quarantined", failing), ("not linked", away)):
        if each:
            more = f" and {len(each) - MOST_NAMED} more" if len(each) > MOST_NAMED else ""
            text += f"; {title}: {'; '.join(each[:MOST_NAMED])}{more}"
    return text


def _trouble(worker: Worker) -> str:
    if worker.state != "ready":
        return worker.state
    return "not reading" if worker.link.busy else "with all slots in use"
