"""Names to addresses, on threads of our own, bounded in time and number."""

from __future__ import annotations

import encodings.idna  # noqa: F401 (getaddrinfo wants it, and may not find it later)
import socket
import threading
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Any, Protocol

from attrs import define
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.python.failure import Failure

from runyard.daemon.waiting import within
from runyard.worker.network.failures import Unreached, Why
from runyard.worker.network.kinds import Address

RESOLVE_S = 5.0
MOST_THREADS = 8
"""Of one task: names that are resolved at a time."""
MOST_OF_SLOT = 32
"""Of its slot, with those of earlier tasks that still hang."""
MOST_WAITING = 64
"""Names of one task that wait for a thread: as many as it may have connections."""
MOST_ANSWERS = 64


class Resolver(Protocol):
    """What resolves names."""

    def __call__(self, name: str) -> Deferred[list[str]]:
        """Give the addresses of a name, best first. May be cancelled.

        Fails with:
            OSError: it has none.
            Unreached: it was not even asked for.
        """


Look = Callable[[str], Sequence[str]]


def look_up(name: str) -> list[str]:
    """Ask the system for the addresses of a name. Blocks.

    Raises:
        OSError: it has none, or nobody answered.
    """
    # In bytes: the name was checked, and no codec is needed then.
    found = socket.getaddrinfo(name.encode("ascii"), None, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


@define(eq=False)
class _Share:
    """What one task has of the threads."""

    most: int
    busy: int = 0


class Threads:
    """The daemon threads in which one slot's names are resolved, for one task after another.

    A task has some of them and the slot more, so one whose names nobody answers does not hold up
    the next one's, and never a neighbour's. Not a thread pool: its threads are joined at the end,
    and getaddrinfo can hang for minutes. A thread counts until it really ends, though nobody
    waits for its answer any more.

    Attributes:
        busy: How many there are now.
    """

    def __init__(self, reactor: Any, look: Look = look_up, most: int = MOST_OF_SLOT) -> None:
        self.busy = 0
        self._reactor = reactor
        self._look = look
        self._most = most
        self._waiting: dict[Deferred[list[str]], tuple[str, _Share]] = {}

    def share(self, most: int = MOST_THREADS) -> Resolver:
        """Give a task's resolver: so many names at a time, some more wait."""
        return partial(self._ask, _Share(most))

    @property
    def waiting(self) -> int:
        """How many names wait for a thread."""
        return len(self._waiting)

    def _ask(self, share: _Share, name: str) -> Deferred[list[str]]:
        if sum(each is share for _, each in self._waiting.values()) >= MOST_WAITING:
            return fail(_unresolved(name, f"{MOST_WAITING} others of this task wait to be"))
        answer: Deferred[list[str]] = Deferred(self._give_up)
        self._waiting[answer] = (name, share)
        self._next()
        return answer

    def _give_up(self, answer: Deferred[list[str]]) -> None:
        self._waiting.pop(answer, None)  # at once: a task could ask and leave a million times

    def _next(self) -> None:
        while self.busy < self._most and (answer := self._first()) is not None:
            name, share = self._waiting.pop(answer)
            try:
                threading.Thread(
                    target=self._work, args=(name, share, answer), name="resolver", daemon=True
                ).start()
            except RuntimeError:
                answer.errback(_unresolved(name, "this worker gets no thread for it"))
            else:
                self.busy += 1
                share.busy += 1

    def _first(self) -> Deferred[list[str]] | None:
        may = (each for each, (_, share) in self._waiting.items() if share.busy < share.most)
        return next(may, None)

    def _work(self, name: str, share: _Share, answer: Deferred[list[str]]) -> None:
        result: Any
        try:
            result = list(self._look(name))
        except Exception as error:  # noqa: BLE001 (whatever it is, it is the answer)
            result = Failure(error)
        self._reactor.callFromThread(self._worked, share, answer, result)

    def _worked(self, share: _Share, answer: Deferred[list[str]], result: Any) -> None:
        self.busy -= 1
        share.busy -= 1
        if not answer.called:
            answer.callback(result)
        self._next()


def _unresolved(name: str, reason: str) -> Unreached:
    return Unreached(Why.NO_HOST, f"{name} was not resolved: {reason}")


async def addresses_of(reactor: Any, resolver: Resolver, name: str) -> list[Address]:
    """Resolve a name within its time; each address once, without what has a zone.

    Raises:
        Unreached: it has no address, or nobody answered in time.
    """
    asked = resolver(name)
    found: list[str] = []
    failures: list[Failure] = []
    asked.addCallbacks(found.extend, failures.append)
    if not await within(reactor, asked, RESOLVE_S) or _gave_up(failures):
        raise Unreached(Why.TIMEOUT, f"{name} was not resolved within {RESOLVE_S:g} s")
    for failure in failures:
        if isinstance(failure.value, Unreached):
            raise failure.value
    addresses = [ip_address(text) for text in found[:MOST_ANSWERS] if "%" not in text]
    if not addresses:
        raise Unreached(Why.NO_HOST, f"{name} has no address" + _reason(failures))
    return list(dict.fromkeys(addresses))


def _gave_up(failures: list[Failure]) -> bool:
    return any(failure.check(CancelledError) is not None for failure in failures)


def _reason(failures: list[Failure]) -> str:
    for failure in failures:
        error: Any = failure.value
        text = getattr(error, "strerror", None) or type(error).__name__
        return f" ({text})"
    return ""
