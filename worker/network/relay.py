"""Bytes both ways between a task's connection and one to the outside.

Backpressure is Twisted's: each transport is the other's producer, so what one side does not take
is not read from the other, and about two buffers of 64 KiB are held in each direction. How much
is read at a time is for the filter to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define

from runyard.worker.network.dialects import Ask, Filter
from runyard.worker.network.http import Answer


@define
class Counters:
    """What went through one task's proxy; `up` is from the task to the outside, in bytes."""

    connections: int = 0
    refused: int = 0
    failed: int = 0
    bytes_up: int = 0
    bytes_down: int = 0


class _Pipe:
    """One direction."""

    def __init__(
        self, source: Any, sink: Any, passes: Filter, count: Callable[[int], None]
    ) -> None:
        self._source = source
        self._sink = sink
        self._filter = passes
        self._count = count
        self._producing = True
        self.over = False
        source.bufferSize = passes.room()
        sink.registerProducer(source, True)

    def feed(self, data: bytes) -> None:
        """Pass bytes on.

        Raises:
            Malformed: the filter does not take them.
        """
        passed = self._filter.feed(data)
        self._source.bufferSize = self._filter.room()
        if passed:
            self._count(len(passed))
            self._sink.write(passed)

    def end(self) -> None:
        """The source sends no more: let the sink know, once it has what is on its way."""
        if not self.over:
            self.over = True
            self.stop()  # a transport with a producer would never end its writing
            self._sink.loseWriteConnection()

    def stop(self) -> None:
        """Let go of the two transports."""
        if self._producing:
            self._producing = False
            self._sink.unregisterProducer()


class Relay:
    """Both directions, until each has ended."""

    def __init__(self, task: Any, outside: Any, ask: Ask, counters: Counters) -> None:
        self._ask = ask
        self._counters = counters
        outside.write(ask.first)
        task.write(ask.opened)
        self._up = _Pipe(task, outside, ask.up, self._count_up)
        self._down = _Pipe(outside, task, ask.down, self._count_down)
        counters.bytes_up += len(ask.first)

    @property
    def unanswered(self) -> bool:
        """Whether the task can still be told in HTTP what went wrong."""
        return isinstance(self._ask.down, Answer) and not self._ask.down.begun

    @property
    def over(self) -> bool:
        """Whether nothing more will pass: an HTTP answer is the last, a tunnel has two ends."""
        return self._down.over and (self._up.over or not self._ask.tunnel)

    @property
    def answered(self) -> bool:
        """Whether the outside has ended its direction in order."""
        return self._down.over

    def from_task(self, data: bytes) -> None:
        """Pass on what the task sends; raises Malformed."""
        self._up.feed(data)

    def from_outside(self, data: bytes) -> None:
        """Pass on what the outside sends; raises Malformed."""
        self._down.feed(data)

    def task_ended(self) -> None:
        """The task sends no more."""
        self._up.end()

    def outside_ended(self) -> None:
        """The outside sends no more."""
        self._down.end()

    def stop(self) -> None:
        """Let go of both transports."""
        self._up.stop()
        self._down.stop()

    def _count_up(self, count: int) -> None:
        self._counters.bytes_up += count

    def _count_down(self, count: int) -> None:
        self._counters.bytes_down += count
