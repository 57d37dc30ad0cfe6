from __future__ import annotations

import errno
import json
import os
import signal
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure

from runyard.worker.sandbox.jail import janitors
from runyard.worker.sandbox.jail.janitors import JanitorLink


class FakeReactor:
    """Starts nothing; keeps the janitor's end of each socket."""

    def __init__(self) -> None:
        self.ends: list[socket.socket] = []
        self.killed: list[str] = []
        self.pid = 4242

    def spawnProcess(self, protocol: Any, *args: Any, childFDs: dict[int, int], **more: Any) -> Any:
        assert more["env"] == {}
        self.ends.append(socket.socket(fileno=os.dup(childFDs[3])))
        self.ends[-1].setblocking(False)
        return self

    def signalProcess(self, name: str) -> None:
        self.killed.append(name)

    def addReader(self, reader: object) -> None:
        """Nothing is read but by the test."""

    removeReader = addReader

    def layout_rights(self) -> int:
        """Give how many descriptors came with the newest janitor's layout."""
        _, rights, _, _ = socket.recv_fds(self.ends[-1], 4096, 4)
        closed(rights)
        return len(rights)


class Yard:
    """A link with its fake janitor."""

    def __init__(self) -> None:
        self.reactor = FakeReactor()
        self.link = JanitorLink(self.reactor, lambda: {"place": "/p"})
        self.exits: list[str] = []
        self.slots: list[socket.socket] = []

    def start(self, name: str) -> Any:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.slots.append(ours)
        with theirs:
            return self.link.start_zygote({"uid": 7}, theirs, lambda: self.exits.append(name))

    def heard(self) -> tuple[dict[str, Any], list[int]]:
        data, rights, _, _ = socket.recv_fds(self.reactor.ends[-1], 4096, 4)
        return json.loads(data), rights

    def says(self, packet: dict[str, Any], *descriptors: int) -> None:
        socket.send_fds(self.reactor.ends[-1], [json.dumps(packet).encode()], descriptors)
        channel: Any = self.link._channel
        assert channel.doRead() is None

    def ends(self) -> None:
        self.link.processExited(Failure(ProcessDone(0)))


@pytest.fixture
def yard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    async def nothing(clock: object) -> bool:
        return True

    monkeypatch.setattr(janitors, "end_orphans", nothing)
    made = Yard()
    yield made
    if made.link._channel is not None:
        made.link._channel.close()
    for each in (*made.reactor.ends, *made.slots):
        each.close()


def closed(descriptors: list[int]) -> None:
    for each in descriptors:
        os.close(each)


def test_a_janitor_is_told_of_its_layout_once_then_of_each_zygote(yard: Yard) -> None:
    yard.start("a")
    yard.start("b")
    first, rights = yard.heard()
    assert first == {"layout": True}
    assert json.loads(os.pread(rights[0], 100, 0)) == {"place": "/p"}
    closed(rights)
    for name in (1, 2):
        packet, rights = yard.heard()
        assert packet == {"uid": 7, "zygote": name}
        assert len(rights) == 1
        closed(rights)
    assert len(yard.reactor.ends) == 1


def test_a_zygote_is_ended_by_its_pidfd_once_that_has_come(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda *a: sent.append(a))
    zygote = yard.start("a")
    for _ in range(2):
        closed(yard.heard()[1])
    zygote.kill()
    assert yard.heard() == ({"end": 1}, [])
    read_end, write_end = os.pipe()
    yard.says({"zygote": 1, "pid": 99}, read_end)
    os.close(read_end)
    zygote.kill()
    assert sent == [(zygote.pidfd, signal.SIGKILL)]
    held = zygote.pidfd
    yard.says({"zygote": 1, "exited": 9})
    assert yard.exits == ["a"]
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(held)
    os.close(write_end)


def test_one_that_could_not_be_made_has_ended_and_strangers_are_passed_over(yard: Yard) -> None:
    yard.start("a")
    read_end, write_end = os.pipe()
    before = len(os.listdir("/proc/self/fd"))
    yard.says({"zygote": 77, "pid": 1}, read_end)
    assert len(os.listdir("/proc/self/fd")) == before, "what nobody wants is closed"
    yard.says({"zygote": 1, "failed": "no room"})
    assert yard.exits == ["a"]
    yard.says({"zygote": 1, "exited": 9})
    assert yard.exits == ["a"]
    closed([read_end, write_end])


@pytest.mark.parametrize("more", [{}, {"exited": 9}])
def test_why_one_could_not_be_made_is_logged(yard: Yard, more: dict[str, int]) -> None:
    yard.start("a")
    with capturedLogs() as events:
        yard.says({"zygote": 1, "failed": "no such group"} | more)
    assert "no such group" in str([formatEvent(each) for each in events])
    assert yard.exits == ["a"]


def test_when_the_janitor_ends_so_have_its_zygotes_and_the_next_needs_another(yard: Yard) -> None:
    yard.start("a")
    yard.start("b")
    done: list[None] = []
    assert yard.link.exited is not None
    yard.link.exited.addCallback(done.append)
    yard.ends()
    assert (sorted(yard.exits), len(done), yard.link.pid) == (["a", "b"], 1, None)
    yard.start("c")
    assert len(yard.reactor.ends) == 2
    assert yard.heard()[0] == {"layout": True}
    assert yard.link.pid == 4242


def failing(*args: Any, **more: Any) -> Any:
    raise OSError(errno.EMFILE, "no descriptor is free")


@pytest.mark.parametrize("what", ["memory_file", "_send", "layout"])
def test_a_janitor_never_runs_on_without_its_layout(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patched:
        if what == "memory_file":
            patched.setattr(janitors, what, failing)
        else:
            patched.setattr(yard.link, {"layout": "_layout"}.get(what, what), failing)
        with pytest.raises(OSError, match="no descriptor"):
            yard.start("a")
    if yard.reactor.ends:  # it has begun: it ends for want of a socket, and is then no more
        with pytest.raises(OSError, match=r"."):
            yard.start("b")
        assert yard.reactor.ends[-1].recv(10) == b""
        yard.reactor.ends.pop().close()
        yard.ends()
    for each in yard.slots:
        each.close()
    assert len(os.listdir("/proc/self/fd")) == before
    yard.start("c")
    assert yard.reactor.layout_rights() == 1
    assert not yard.exits


def test_a_janitor_that_starts_while_the_last_one_s_orphans_end_keeps_its_own(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    reaped: Deferred[bool] = Deferred()
    monkeypatch.setattr(janitors, "end_orphans", partial(awaited, reaped))
    yard.start("old")
    first = yard.link.close()
    yard.ends()
    yard.start("new")
    assert yard.link.close() is not first
    reaped.callback(True)
    assert first is not None
    assert (yard.exits, first.called) == (["old"], True)
    second = yard.link.close()
    assert second is not None, "who stops it has something to wait for"
    yard.ends()
    assert (yard.exits, second.called, yard.link.close()) == (["old", "new"], True, None)


async def awaited(done: Deferred[bool], clock: object) -> bool:
    return await done if not done.called else True


def test_one_whose_socket_closes_is_killed(yard: Yard) -> None:
    yard.start("a")
    yard.reactor.ends[-1].close()
    channel: Any = yard.link._channel
    channel.connectionLost(None)
    assert yard.reactor.killed == ["KILL"]


def test_a_janitor_that_cannot_be_started_is_an_error_and_leaves_nothing_open(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yard.reactor, "spawnProcess", failing)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="no descriptor is free"):
        yard.start("a")
    yard.slots.pop().close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert yard.link.close() is None
