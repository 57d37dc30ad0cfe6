"""A local worker is kept alive, whatever stops one start of it."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from fakes import KEY, SECRET, a_worker
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from runyard.daemon.folders import HeldFolder
from runyard.sched.known import KnownWorkers
from runyard.sched.link import LinkSettings, WorkerLink
from runyard.sched.local import LocalWorker, command
from runyard.sched.roster import Roster


class NobodyThere:
    """An endpoint on which nobody answers."""

    def connect(self, factory: object) -> Deferred[Any]:
        return Deferred()


class Reactor(Clock):
    """Starts processes that do not exist, or fails to."""

    def __init__(self) -> None:
        super().__init__()
        self.starts = 0
        self.error: OSError | None = None
        self.protocol: Any = None

    def spawnProcess(self, protocol: Any, *args: Any, **kwargs: Any) -> object:
        if self.error is not None:
            raise self.error
        self.starts += 1
        self.protocol = protocol
        return object()


class Kept:
    """A local worker under test."""

    def __init__(self, folder: Path) -> None:
        self.reactor = Reactor()
        self.hopeless: list[str] = []
        self.folder = folder / "workers" / "local-1"
        endpoint: Any = NobodyThere()
        settings = LinkSettings("scheduler", KEY, SECRET)
        known = KnownWorkers(self.reactor, settings.leases)
        link = WorkerLink(self.reactor, endpoint, "unix:x", settings, Roster(self.reactor), known)
        argv = command(folder, "local-1", ["--slots=2"])
        self.worker = LocalWorker(self.reactor, self.folder, argv, link, self.hopeless.append)
        self.worker.startService()


@pytest.fixture
def kept(tmp_path: Path) -> Any:
    made = Kept(tmp_path)
    yield made
    made.worker._loop.stop()
    made.worker.link.service.stopService()


def ended(error: Exception) -> Failure:
    return Failure(error)


def test_a_failed_fork_is_tried_again_and_again(kept: Kept) -> None:
    kept.reactor.protocol.processExited(ended(ProcessDone(0)))
    kept.reactor.error = OSError(errno.EAGAIN, "no more processes")
    for _ in range(30):
        kept.reactor.advance(1)
    assert kept.worker._loop.running
    kept.reactor.error = None
    for _ in range(60):
        kept.reactor.advance(1)
    assert kept.reactor.starts == 2


def test_one_that_lives_is_left_alone_and_one_that_is_gone_is_started(tmp_path: Path) -> None:
    holder = HeldFolder(tmp_path / "workers" / "local-1", "worker")
    kept = Kept(tmp_path)
    kept.reactor.advance(5)
    assert kept.reactor.starts == 0
    holder.release()
    kept.reactor.advance(0.6)
    assert kept.reactor.starts == 1
    kept.worker._loop.stop()
    kept.worker.link.service.stopService()


def test_one_that_cannot_even_start_is_not_started_for_ever(kept: Kept) -> None:
    kept.reactor.protocol.processExited(ended(ProcessTerminated(1)))
    assert len(kept.hopeless) == 1


def test_pauses_grow_while_it_keeps_ending(kept: Kept) -> None:
    kept.worker.link.worker = a_worker("local-1")[0]
    times = []
    for _ in range(5):
        kept.reactor.protocol.processExited(ended(ProcessTerminated(9)))
        began, starts = kept.reactor.seconds(), kept.reactor.starts
        while kept.reactor.starts == starts:
            kept.reactor.advance(0.5)
        times.append(kept.reactor.seconds() - began)
    assert times == sorted(times)
    assert times[-1] > 4 * times[0]


def test_its_process_is_told_not_to_look_in_the_folder_it_is_started_in(tmp_path: Path) -> None:
    assert command(tmp_path, "local-1", [])[1] == "-P"
