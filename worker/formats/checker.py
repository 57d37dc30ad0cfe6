"""Checks of outputs and schemas, each in a child that may be killed: the worker's own seam."""

from __future__ import annotations

import os
from collections import deque
from functools import partial
from typing import Any, Literal

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from runyard.protocols.formats import Format
from runyard.worker.formats.process import Child, Start
from runyard.worker.formats.staging import stage
from runyard.worker.formats.verdicts import Verdict, failure, from_wire

WALL_S = 5.0
START_S = 20.0
MOST_TRIES = 2
PAUSES_S = (0.2, 0.5, 1.0)
"""Before another start where one failed: machines run out of processes for a while."""

NOT_DONE = "the checking process did not do it"

log = Logger()


@define(eq=False)
class _Check:
    what: Literal["check", "check_schema"]
    wanted: Format
    output: bytes
    done: Deferred[Verdict]
    tries: int = 0


@define(eq=False)
class _Place:
    """Room for one child: none yet, one that starts, one that is free, or one that checks."""

    child: Child | None = None
    ready: bool = False
    check: _Check | None = None
    timer: IDelayedCall | None = None
    why: str | None = field(default=None)


class Checker:
    """Checks outputs in a few warm children, one at a time in each; the others wait in order.

    A child that does not answer in time is killed, which is the verdict; one that dies is replaced
    and the check tried once more. No check fails its Deferred, but by being cancelled.
    """

    def __init__(
        self, clock: IReactorTime, start: Start, *, wall_s: float = WALL_S, children: int = 2
    ) -> None:
        self._clock = clock
        self._start = start
        self._wall_s = wall_s
        self._most = children
        self._places: list[_Place] = []
        self._waiting: deque[_Check] = deque()
        self._stopping = False
        self._failures = 0
        self._pause: IDelayedCall | None = None

    def warm(self) -> None:
        """Start a first child, so that the first check need not wait for it."""
        if not self._places and not self._stopping:
            self._open()

    def check(self, wanted: Format, output: bytes) -> Deferred[Verdict]:
        """Check an output, 16 MiB at most; its time counts from when a child has it."""
        return self._ask("check", wanted, output)

    def check_schema(self, wanted: Format) -> Deferred[Verdict]:
        """Check a format's schema whole, which `format_of` cannot; paths are the schema's."""
        return self._ask("check_schema", wanted, b"")

    def stop(self) -> Deferred[None]:
        """End every child and every check; fires when the processes are gone."""
        self._stopping = True
        self._resume()
        self._fail_waiting("the worker stops")
        exits = [place.child.exited for place in self._places if place.child is not None]
        for place in list(self._places):
            self._end(place, "the worker stops")
        return DeferredList(exits).addCallback(lambda _: None)

    def _ask(
        self, what: Literal["check", "check_schema"], wanted: Format, output: bytes
    ) -> Deferred[Verdict]:
        done: Deferred[Verdict] = Deferred(lambda _: self._cancel(check))
        check = _Check(what, wanted, output, done)
        if self._stopping:
            _answer(check, failure(wanted.name, "the worker stops"))
            return done
        self._waiting.append(check)
        self._pump()
        return done

    def _cancel(self, check: _Check) -> None:
        if check in self._waiting:
            self._waiting.remove(check)
        for place in self._places:
            if place.check is check:
                self._end(place, "it was cancelled")
                return

    def _pump(self) -> None:
        """Give waiting checks to free children; start another child where all are busy."""
        for place in list(self._places):
            if self._waiting and place.ready and place.check is None and place.why is None:
                self._give(place, self._waiting.popleft())
        starting = sum(1 for place in self._places if not place.ready)
        while len(self._waiting) > starting and len(self._places) < self._most:
            if self._pause is not None:
                return
            starting += 1
            self._open()

    def _open(self) -> None:
        place = _Place()
        self._places.append(place)
        try:
            place.child = self._start(partial(self._heard, place), partial(self._gone, place))
        except OSError as error:
            self._gone(place, str(error))
            return
        place.timer = self._clock.callLater(START_S, self._end, place, f"not within {START_S:g} s")

    def _give(self, place: _Place, check: _Check) -> None:
        place.check = check
        check.tries += 1
        Deferred.fromCoroutine(self._hand_over(place, check)).addErrback(self._bug, place)

    async def _hand_over(self, place: _Place, check: _Check) -> None:
        schema = None if check.wanted.schema is None else check.wanted.schema.encode()
        request = {
            "what": check.what, "name": check.wanted.name, "output": len(check.output),
            "schema": -1 if schema is None else len(schema),
        }  # fmt: skip
        try:
            descriptor = await stage(self._clock, schema or b"", check.output)
        except OSError as error:
            self._finish(place, failure(check.wanted.name, f"it cannot be handed over: {error}"))
            return
        try:
            if place.check is not check or place.child is None or place.why is not None:
                return
            place.child.ask(request, descriptor)
        except OSError as error:
            self._end(place, str(error))
            return
        finally:
            os.close(descriptor)
        place.timer = self._clock.callLater(self._wall_s, self._overdue, place)

    def _heard(self, place: _Place, packet: dict[str, Any]) -> None:
        if "broken" in packet:
            place.why = place.why or str(packet["broken"])[:200]
        elif not place.ready:
            self._disarm(place)
            place.ready = True
            self._failures = 0
            self._resume()
            self._pump()
        elif place.check is not None:
            try:
                verdict = from_wire(place.check.wanted.name, packet)
            except ValueError as error:
                self._end(place, str(error))
                return
            if packet.get("last"):
                place.why = "it has done its part"
            self._finish(place, verdict)

    def _overdue(self, place: _Place) -> None:
        check, place.check = place.check, None
        self._end(place, "it was stopped")
        if check is not None:
            why = f"the check did not end within {self._wall_s:g} s"
            _answer(check, failure(check.wanted.name, why))

    def _finish(self, place: _Place, verdict: Verdict) -> None:
        self._disarm(place)
        check, place.check = place.check, None
        if check is not None:
            _answer(check, verdict)
        self._pump()

    def _end(self, place: _Place, why: str) -> None:
        self._disarm(place)
        place.why = place.why or why
        if place.child is not None:
            place.child.kill()

    def _gone(self, place: _Place, why: str) -> None:
        """A child has ended, or has not begun: its check is tried once more."""
        self._disarm(place)
        self._places.remove(place)
        why, check = place.why or why, place.check
        if check is not None and not check.done.called:
            if check.tries < MOST_TRIES and not self._stopping:
                self._waiting.appendleft(check)
            else:
                _answer(check, failure(check.wanted.name, f"{NOT_DONE}: {why}"))
        if not place.ready and not self._stopping:
            self._not_started(why)
        self._pump()

    def _not_started(self, why: str) -> None:
        """Wait a little before the next start; after some, nobody waits any longer."""
        log.error("a checking process could not be started: {why}", why=why)
        self._resume()
        if self._failures < len(PAUSES_S):
            self._pause = self._clock.callLater(PAUSES_S[self._failures], self._try_again)
            self._failures += 1
        else:
            self._failures = 0
            self._fail_waiting(f"{NOT_DONE}: {why}")

    def _try_again(self) -> None:
        self._pause = None
        self._pump()

    def _resume(self) -> None:
        if self._pause is not None and self._pause.active():
            self._pause.cancel()
        self._pause = None

    def _fail_waiting(self, why: str) -> None:
        waiting, self._waiting = self._waiting, deque()
        for check in waiting:
            _answer(check, failure(check.wanted.name, why))

    def _disarm(self, place: _Place) -> None:
        if place.timer is not None and place.timer.active():
            place.timer.cancel()
        place.timer = None

    def _bug(self, fault: Failure, place: _Place) -> None:
        log.failure("a check was not handed over", fault)
        self._end(place, "a fault of the worker's own")


def _answer(check: _Check, verdict: Verdict) -> None:
    check.output = b""
    if not check.done.called:
        check.done.addErrback(lambda f: f.trap(CancelledError) and None)
        check.done.callback(verdict)
