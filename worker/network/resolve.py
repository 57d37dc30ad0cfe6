"""Names to addresses, on threads of our own, bounded in time and number."""

from __future__ import annotations

import encodings.idna  # noqa: F401 (getaddrinfo wants it, and may not find it later)
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from runyard.daemon.waiting import within
from runyard.worker.network.failures import Unreached, Why
from runyard.worker.network.kinds import Address

RESOLVE_S = 5.0
MOST_THREADS = 8
MOST_ANSWERS = 64


class Resolver(Protocol):
    """What resolves names."""

    def __call__(self, name: str) -> Deferred[list[str]]:
        """Give the addresses of a name, best first; fails with OSError. May be cancelled."""


Look = Callable[[str], Sequence[str]]


def look_up(name: str) -> list[str]:
    """Ask the system for the addresses of a name. Blocks.

    Raises:
        OSError: it has none, or nobody answered.
    """
    # In bytes: the name was checked, and no codec is needed then.
    found = socket.getaddrinfo(name.encode("ascii"), None, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class ThreadedResolver:
    """Resolves names in daemon threads, at most some at a time; further names wait.

    One for each slot, kept from task to task: a task that asks for names nobody answers keeps
    its slot's threads, not those of its neighbours. Not a thread pool: its threads are joined at
    the end, and getaddrinfo can hang for minutes. A thread counts until it really ends, though
    nobody waits for its answer any more.
    """

    def __init__(self, reactor: Any, look: Look = look_up, most: int = MOST_THREADS) -> None:
        self._reactor = reactor
        self._look = look
        self._most = most
        self._busy = 0
        self._waiting: deque[tuple[str, Deferred[list[str]]]] = deque()

    def __call__(self, name: str) -> Deferred[list[str]]:
        """Give the addresses of a name; fails with OSError. May be cancelled."""
        answer: Deferred[list[str]] = Deferred()
        self._waiting.append((name, answer))
        self._next()
        return answer

    def _next(self) -> None:
        while self._waiting and self._busy < self._most:
            name, answer = self._waiting.popleft()
            if answer.called:  # it was cancelled
                continue
            self._busy += 1
            thread = threading.Thread(
                target=self._work, args=(name, answer), name="resolver", daemon=True
            )
            thread.start()

    def _work(self, name: str, answer: Deferred[list[str]]) -> None:
        result: Any
        try:
            result = list(self._look(name))
        except Exception as error:  # noqa: BLE001 (whatever it is, it is the answer)
            result = Failure(error)
        self._reactor.callFromThread(self._worked, answer, result)

    def _worked(self, answer: Deferred[list[str]], result: Any) -> None:
        self._busy -= 1
        if not answer.called:
            answer.callback(result)
        self._next()


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
