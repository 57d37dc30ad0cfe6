"""Output on its way while the attempt runs: only for those that are watched, and never queued."""

from __future__ import annotations

from typing import Protocol

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from runyard.protocols.messages import CHUNK_BYTES, STREAMS, Message, Output, Watch
from runyard.worker.sandbox.interface import RunningJob

COALESCE_S = 0.05


class Channel(Protocol):
    """A link, as the streaming uses it."""

    @property
    def busy(self) -> bool:
        """Whether the controller reads slower than we write."""

    def send(self, message: Message) -> None:
        """Send a message."""


@define(eq=False)
class _Watched:
    job: RunningJob
    sent: dict[str, int]
    timer: IDelayedCall | None = None

    @property
    def waiting(self) -> int:
        """How much of its fuller stream has not been sent."""
        return max(self.job.output(name, at, 0)[1] - at for name, at in self.sent.items())

    def stop_timer(self) -> None:
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        self.timer = None


class Streaming:
    """What the attempts on one link write, sent as it comes.

    Small writes are put together, to 64 KiB or for 50 ms. What goes out is read from the bytes that
    the slot keeps for the Result anyway, and only while the link takes it: a slow link holds no
    memory of its own, it just gets larger pieces later.
    """

    def __init__(self, clock: IReactorTime, link: Channel) -> None:
        self._clock = clock
        self._link = link
        self._watched: dict[str, _Watched] = {}

    def watch(self, message: Watch, job: RunningJob) -> None:
        """Send what a job has written, from the given offsets on, and what it will write."""
        self.unwatch(message.attempt)
        watched = _Watched(job, {name: getattr(message, name) for name in STREAMS})
        self._watched[message.attempt] = watched
        job.watch(lambda: self._grown(message.attempt, watched))
        self._flush(message.attempt, watched)

    def unwatch(self, attempt: str) -> None:
        """Send no more of an attempt: nobody looks, or its Result goes out now."""
        watched = self._watched.pop(attempt, None)
        if watched is not None:
            watched.job.watch(None)
            watched.stop_timer()

    def stop(self) -> None:
        """The link is over."""
        for attempt in list(self._watched):
            self.unwatch(attempt)

    def resume(self) -> None:
        """The link takes more again."""
        for attempt, watched in list(self._watched.items()):
            self._flush(attempt, watched)

    def _grown(self, attempt: str, watched: _Watched) -> None:
        if watched.waiting >= CHUNK_BYTES:
            self._flush(attempt, watched)
        elif watched.timer is None and not self._link.busy:
            watched.timer = self._clock.callLater(COALESCE_S, self._flush, attempt, watched)

    def _flush(self, attempt: str, watched: _Watched) -> None:
        watched.stop_timer()
        for stream in STREAMS:
            while not self._link.busy:
                offset = watched.sent[stream]
                data, _ = watched.job.output(stream, offset, CHUNK_BYTES)
                if not data:
                    break
                watched.sent[stream] += len(data)
                self._link.send(Output(attempt=attempt, stream=stream, offset=offset, data=data))
