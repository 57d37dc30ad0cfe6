"""Framing under any sequence of messages, any cuts, any damage."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

from runyard.protocols.errors import ProtocolError
from runyard.protocols.inbox import Inbox
from runyard.protocols.lines import MAX_HEADER, MOST_A_TURN, MessageReceiver
from runyard.protocols.messages import (
    Cancel,
    Message,
    Ping,
    Result,
    Run,
    Started,
)
from runyard.protocols.outbox import FRAME, MAX_STREAMS, Outbox
from runyard.protocols.verbs import FROM_CONTROLLER, FROM_WORKER

SIZES = st.sampled_from([0, 1, 7, 300, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME + 5])
SLACK = 2 * FRAME + MAX_HEADER


class Everything(MessageReceiver):
    """An end that takes every verb and keeps it."""

    peer_sends = FROM_CONTROLLER | FROM_WORKER

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.got: list[Message] = []

    def _dispatch(self, message: Message) -> None:
        self.got.append(message)


def made() -> tuple[Everything, Any, Clock]:
    clock = Clock()
    end, transport = Everything(clock), StringTransportWithDisconnection()
    transport.protocol = end
    end.makeConnection(transport)
    end.prove(5, 15)
    return end, transport, clock


def filled(size: int, number: int) -> bytes:
    return random.Random(number).randbytes(size)


@st.composite
def messages(draw: st.DrawFn) -> list[Message]:
    """Make a sequence, each member with a name of its own."""
    made_here: list[Message] = []
    for number in range(draw(st.integers(1, 8))):
        name, kind = f"t.{number}", draw(st.integers(0, 4))
        one, two = filled(draw(SIZES), number), filled(draw(SIZES), -number)
        fields: dict[str, Any] = {
            "outcome": "success",
            "isolation": "none",
            "detail": draw(st.text(max_size=9)),
        }
        made_here.append(
            [
                Ping(beat=number),
                Started(attempt=name),
                Cancel(attempt=name, reason="asked"),
                Run(attempt=name, language="p", limits={}, lease=1, code=one, stdin=two),
                Result(attempt=name, stdout=one, stderr=two, **fields),
            ][kind]
        )
    return made_here


def sent(what: list[Message], stops: list[bool]) -> bytes:
    """Write them; where `stops` says so the transport is full for a while."""
    transport: Any = StringTransportWithDisconnection()
    box = Outbox(transport, MAX_HEADER)
    for message, stop in zip(what, stops, strict=False):
        if stop:
            box.pauseProducing()
        box.send(message)
        if not stop and box.busy:
            box.resumeProducing()
    box.resumeProducing()
    assert box.bulk == 0
    data: bytes = transport.value()
    return data


def deliver(end: Everything, clock: Clock, data: bytes, cuts: list[int]) -> None:
    start = turn = 0
    while start < len(data) and not end.closing:
        end.dataReceived(data[start : start + cuts[turn % len(cuts)]])
        start, turn = start + cuts[turn % len(cuts)], turn + 1
        clock.advance(0)


CUTS = st.lists(st.integers(1, 150_000), min_size=1, max_size=5)


@settings(max_examples=30, deadline=None)
@given(messages(), st.lists(st.booleans(), min_size=8, max_size=8), CUTS)
def test_any_sequence_cut_anywhere_arrives_the_same(
    what: list[Message], stops: list[bool], cuts: list[int]
) -> None:
    end, transport, clock = made()
    deliver(end, clock, sent(what, stops), cuts)
    assert transport.connected
    assert sorted(map(repr, end.got)) == sorted(map(repr, what))
    plain = [each for each in what if isinstance(each, (Ping, Started, Cancel))]
    assert [each for each in end.got if isinstance(each, (Ping, Started, Cancel))] == plain


def damaged(data: bytes, where: int, how: int, value: int) -> bytes:
    at = where % len(data) if data else 0
    byte = bytes([value])
    ways = (
        data[:at] + byte + data[at + 1 :],
        data[:at] + byte + data[at:],
        data[:at] + data[at + 1 :],
        data[:at] + data[at + 1 + value :],
        data[:at] + data[at // 2 :],
    )
    return ways[how % len(ways)]


DAMAGE = st.lists(
    st.tuples(st.integers(0, 1 << 30), st.integers(0, 4), st.integers(0, 255)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=100, deadline=None)
@given(messages(), DAMAGE, CUTS)
def test_damaged_bytes_give_messages_or_one_close(
    what: list[Message], damage: list[tuple[int, int, int]], cuts: list[int]
) -> None:
    """No fault of ours is logged (the suite's own fixture fails on one)."""
    end, transport, clock = made()
    data = sent(what, [False] * 8)
    for where, how, value in damage:
        data = damaged(data, where, how, value)
    deliver(end, clock, data, cuts)
    errors = transport.value().count(b'"Error"')
    assert errors == (not transport.connected)
    transport.loseConnection()
    assert not clock.getDelayedCalls()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400) | st.text(max_size=200).map(lambda text: text.encode()))
def test_any_line_is_a_message_or_a_protocol_error(line: bytes) -> None:
    inbox = Inbox(FROM_CONTROLLER)
    inbox.proven = True
    with suppress(ProtocolError):
        inbox.line(line)


def held(inbox: Inbox) -> int:
    """Bytes that are kept of payloads, counted as they are allocated."""
    return sum(each.body.__alloc__() for each in inbox._streams.values())


def test_what_is_announced_takes_no_memory_before_it_arrives() -> None:
    inbox = Inbox(FROM_WORKER)
    inbox.proven = True
    most = 16 * 1024 * 1024
    for number in range(MAX_STREAMS):
        inbox.line(
            b'{"verb":"Result","attempt":"a","outcome":"success","isolation":"none","detail":"",'
            b'"stream":%d,"payload":[%d,%d]}' % (number, most, most)
        )
    assert held(inbox) < 1000
    arrived = 0
    for turn in range(40):
        inbox.line(b'{"verb":"Data","stream":%d,"payload":[%d]}' % (turn % MAX_STREAMS, FRAME))
        inbox.raw(b"x" * FRAME)
        arrived += FRAME
        assert held(inbox) <= arrived * 1.2 + SLACK


def test_a_link_takes_so_many_lines_and_then_lets_others_have_their_turn() -> None:
    end, transport, clock = made()
    pauses: list[int] = []
    transport.pauseProducing = lambda: pauses.append(len(end.got))
    end.dataReceived(b'{"verb":"Ping"}\n' * (2 * MOST_A_TURN + 10))
    assert len(end.got) == MOST_A_TURN
    clock.advance(0)
    assert pauses == [MOST_A_TURN - 1, 2 * MOST_A_TURN - 1]
    assert len(end.got) == 2 * MOST_A_TURN + 10
    end.dataReceived(b'{"verb":"Ping"}\n' * (2 * MOST_A_TURN))
    transport.loseConnection()
    assert not clock.getDelayedCalls(), "a link that ends in between leaves nothing behind"
