"""Peers that read slowly or not at all, on a Clock."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

from runyard.protocols.heartbeat import LEAST_S, Heartbeat
from runyard.protocols.lines import MOST_BULK, MOST_HELD, MessageReceiver
from runyard.protocols.messages import Cancel, Ping, Result
from runyard.protocols.outbox import FRAME
from runyard.protocols.verbs import FROM_CONTROLLER, FROM_WORKER

BUFFER = 64 * 1024
MIB = 1024 * 1024


class SlowTransport(StringTransportWithDisconnection):
    """Keeps what is written until the peer reads it; says when that is too much, as Twisted's do.

    `read` gives what the peer reads; the producer writes on once all of it is taken.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiting = bytearray()
        self._full = False

    def write(self, data: bytes) -> None:
        self.waiting += data
        if len(self.waiting) > BUFFER and self.producer is not None:
            self._full = True
            self.producer.pauseProducing()

    def read(self, size: int) -> bytes:
        taken = bytes(self.waiting[:size])
        del self.waiting[:size]
        if self._full and not self.waiting and self.producer is not None:
            self._full = False
            self.producer.resumeProducing()
        return taken


class Talker(MessageReceiver):
    """An end that takes everything and does nothing about it."""

    peer_sends = FROM_CONTROLLER | FROM_WORKER


def made(heartbeat: float = 1, silence: float = 10) -> tuple[Talker, SlowTransport, Clock]:
    clock = Clock()
    end, transport = Talker(clock), SlowTransport()
    transport.protocol = end
    end.makeConnection(transport)
    end.prove(heartbeat, silence)
    return end, transport, clock


def a_result(size: int, name: str = "t.1") -> Result:
    return Result(attempt=name, outcome="success", isolation="none", detail="", stdout=b"x" * size)


def verbs(data: bytes) -> list[str]:
    """Name the messages of a stream, Data too, in their order on the wire."""
    found = []
    while data:
        head, _, data = data.partition(b"\n")
        header = json.loads(head)
        found.append(header["verb"])
        if "stream" not in header or header["verb"] == "Data":
            data = data[sum(header.get("payload", [])) :]
    return found


def talk(end: Talker, clock: Clock, seconds: int) -> None:
    for _ in range(seconds):
        end.dataReceived(b'{"verb":"Ping"}\n')
        clock.advance(1)


def test_a_peer_that_talks_and_never_reads_is_cut_when_its_silence_is_over() -> None:
    end, transport, clock = made()
    end.send(a_result(MIB))
    talk(end, clock, 10)
    assert transport.connected
    assert len(transport.waiting) < 3 * FRAME, "pings are not answered meanwhile"
    talk(end, clock, 3)
    assert not transport.connected
    assert not clock.getDelayedCalls()


def test_a_peer_that_reads_slowly_but_reads_is_kept() -> None:
    end, transport, clock = made()
    end.send(a_result(MIB))
    for _ in range(100):
        talk(end, clock, 1)
        transport.read(20_000)
    assert transport.connected
    end.transport.loseConnection()


def test_a_cancel_stands_behind_a_frame_or_two_of_a_large_transfer() -> None:
    end, transport, _ = made()
    end.send(a_result(16 * MIB))
    wire = b""
    for _ in range(20):
        wire += transport.read(BUFFER)
    end.send(Cancel(attempt="t.9", reason="asked"))
    since = b""
    while b'"Cancel"' not in since:
        since += transport.read(1000)
    assert len(since) < 2 * FRAME + 2000
    assert "Result" not in verbs(wire + since)[1:], "the transfer was not over yet"
    end.transport.loseConnection()


@pytest.mark.parametrize("size", [1000, FRAME])
def test_small_results_beyond_the_bound_of_control_messages_all_arrive(size: int) -> None:
    """As after a Resume, when a worker sends all that it kept at once."""
    end, transport, _ = made()
    count = 2 * MOST_HELD // size
    for number in range(count):
        end.send(a_result(size, f"t.{number}"))
    wire = b""
    while transport.waiting:
        wire += transport.read(10_000)
    assert transport.connected
    assert verbs(wire).count("Result") == count
    assert end._outbox is not None
    assert end._outbox.bulk == 0
    end.transport.loseConnection()


def test_what_waits_is_bounded_in_control_messages_and_in_bulk() -> None:
    end, transport, _ = made()
    end.send(a_result(MIB))
    for _ in range(MOST_HELD // len(b'{"verb":"Ping","beat":0}\n') + 1):
        end.send(Ping())
    assert not transport.connected
    end, transport, _ = made()
    result = a_result(16 * MIB)
    for _ in range(MOST_BULK // (16 * MIB)):
        end.send(result)
    assert transport.connected
    end.send(result)
    assert not transport.connected


def test_an_interval_of_nothing_is_not_a_busy_loop() -> None:
    clock, beats = Clock(), [0]

    def ping() -> None:
        beats[0] += 1

    dead: list[Any] = []
    heart = Heartbeat(clock, 0.0, 10.0, ping, dead.append)
    for _ in range(20):
        clock.advance(LEAST_S / 2)
    assert 1 <= beats[0] <= 10
    heart.stop()
