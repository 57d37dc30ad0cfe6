"""A link's two ends on string transports: what one writes, the other reads, cut as it may be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

from runyard.protocols.errors import ProtocolError
from runyard.protocols.inbox import Inbox
from runyard.protocols.lines import (
    HANDSHAKE_S,
    MAX_HEADER,
    MAX_HEADER_BEFORE_PROOF,
    MessageReceiver,
)
from runyard.protocols.messages import (
    Cancel,
    Error,
    Message,
    Ping,
    Result,
    Run,
    Started,
)
from runyard.protocols.outbox import FRAME, MAX_STREAMS, Outbox
from runyard.protocols.verbs import FROM_CONTROLLER, FROM_WORKER


class End(MessageReceiver):
    """Collects what arrives."""

    peer_sends = FROM_CONTROLLER | FROM_WORKER

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.got: list[Message] = []

    def _dispatch(self, message: Message) -> None:
        self.got.append(message)


def connected(clock: Clock | None = None) -> tuple[End, Any]:
    end = End(clock or Clock())
    transport = StringTransportWithDisconnection()
    transport.protocol = end
    end.makeConnection(transport)
    return end, transport


def proven(clock: Clock | None = None) -> tuple[End, Any]:
    end, transport = connected(clock)
    end.prove(5.0, 15.0)
    return end, transport


def written(*messages: Message) -> bytes:
    transport: Any = StringTransportWithDisconnection()
    box = Outbox(transport, MAX_HEADER)
    for message in messages:
        box.send(message)
    data: bytes = transport.value()
    return data


def a_run(code: bytes = b"", stdin: bytes = b"") -> Run:
    return Run(attempt="t.1", language="python", limits={}, lease=10, code=code, stdin=stdin)


def a_result(stdout: bytes, stderr: bytes = b"") -> Result:
    return Result(
        attempt="t.1", outcome="success", isolation="none", detail="", stdout=stdout, stderr=stderr
    )


HOSTILE = [
    b"",
    b'{"verb":"Result"}\n',
    b"\n" * 1000,
    b"12345678901234567890",
    "\u2028\u2029\x85\x0b".encode(),
    b"\x00\xff\xfe\r\n",
    b"y\n" * 200_000,
    bytes(range(256)) * 1024,
]


@pytest.mark.parametrize("payload", HOSTILE, ids=range(len(HOSTILE)))
def test_payloads_arrive_to_the_byte_whatever_they_hold(payload: bytes) -> None:
    end, _ = proven()
    sent = [a_result(payload, payload[::-1]), Started(attempt="t.2")]
    end.dataReceived(written(*sent))
    assert sorted(end.got, key=lambda m: m.verb) == sorted(sent, key=lambda m: m.verb)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(max_size=300) | st.just(b"z" * (FRAME + 7)), min_size=1, max_size=4),
    st.lists(st.integers(1, 70_000), min_size=1, max_size=6),
)
def test_it_does_not_matter_where_the_network_cuts(payloads: list[bytes], cuts: list[int]) -> None:
    end, _ = proven()
    data = written(*(a_run(each, each[::-1]) for each in payloads))
    start, turn = 0, 0
    while start < len(data):
        end.dataReceived(data[start : start + cuts[turn % len(cuts)]])
        start += cuts[turn % len(cuts)]
        turn += 1
    key = str
    assert sorted((m.code for m in end.got if isinstance(m, Run)), key=key) == sorted(
        payloads, key=key
    )


def test_a_large_message_travels_in_frames_between_which_control_lines_go() -> None:
    transport = StringTransportWithDisconnection()
    box = Outbox(transport, MAX_HEADER)
    box.pauseProducing()
    box.send(a_result(b"x" * (5 * FRAME)))
    box.send(Cancel(attempt="t.9", reason="asked"))
    assert json.loads(transport.value())["verb"] == "Cancel", "it waits for no bulk"
    box.resumeProducing()
    end, _ = proven()
    end.dataReceived(transport.value())
    assert [m.verb for m in end.got] == ["Cancel", "Result"]


def test_a_slow_peer_stops_the_bulk_and_is_seen_as_busy() -> None:
    transport = StringTransportWithDisconnection()
    box = Outbox(transport, MAX_HEADER)
    box.pauseProducing()
    box.send(a_run(b"x" * (3 * FRAME)))
    assert transport.value() == b""
    assert box.busy
    box.stopProducing()
    box.resumeProducing()
    assert transport.value() == b"", "nothing goes out on a connection that is gone"


def header(verb: str, **fields: Any) -> bytes:
    return json.dumps({"verb": verb, **fields}).encode()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"\xff\xfe random bytes", "JSON object"),
        (b"[1,2]", "JSON object"),
        (b'{"verb": 7}', "verb"),
        (b"[" * 4000, "JSON object"),
        (header("Nonsense"), "unknown verb"),
        (header("Data", stream=1, payload=[5]), "not open"),
        (
            header(
                "Run", attempt="a", language="p", limits={}, lease=1, payload=[1 << 40, 0, 0, 0]
            ),
            "0 to",
        ),
        (
            header("Run", attempt="a", language="p", limits={}, lease=1, payload=[FRAME, 1, 0, 0]),
            "need a stream",
        ),
        (
            header("Run", attempt="a", language="p", limits={}, lease=1, payload=[0] * 4, stream=1),
            "empty",
        ),
        (header("Ping", payload=[1]), "payloads"),
        (header("Started"), "attempt"),
        (header("Started", attempt=None), "malformed"),
    ],
)
def test_rubbish_closes_the_link_with_an_error_that_says_why(line: bytes, why: str) -> None:
    end, transport = proven()
    end.dataReceived(line + b"\n" + header("Ping") + b"\n")
    said = json.loads(transport.value().splitlines()[-1])
    assert said["verb"] == "Error"
    assert why in said["reason"]
    assert not transport.connected
    assert end.got == [], "what follows is not read"


def test_streams_are_bounded_in_number_and_each_frame_by_what_was_announced() -> None:
    inbox = Inbox(FROM_CONTROLLER)
    inbox.proven = True
    fields = {
        "attempt": "a",
        "language": "p",
        "limits": {},
        "lease": 1,
        "payload": [FRAME, 5, 0, 0],
    }
    for number in range(MAX_STREAMS):
        assert inbox.line(header("Run", stream=number, **fields)) is None
    with pytest.raises(ProtocolError, match="at most"):
        inbox.line(header("Run", stream=99, **fields))
    with pytest.raises(ProtocolError, match="new whole number"):
        inbox.line(header("Run", stream=0, **fields))
    inbox.line(header("Data", stream=0, payload=[FRAME]))
    inbox.raw(b"x" * FRAME)
    with pytest.raises(ProtocolError, match="no more than was announced"):
        inbox.line(header("Data", stream=0, payload=[6]))


def test_a_header_line_that_is_too_long_is_answered_not_dropped() -> None:
    for end, transport, most in (
        (*connected(), MAX_HEADER_BEFORE_PROOF),
        (*proven(), MAX_HEADER),
    ):
        end.dataReceived(b"x" * (most + 1))
        said = json.loads(transport.value().splitlines()[-1])
        assert str(most) in said["reason"]
        assert not transport.connected


def test_before_the_proofs_nothing_but_the_handshake_is_taken() -> None:
    for verb in ("Run", "Ping", "Result", "Cancel", "Drain", "Data"):
        end, transport = connected()
        end.dataReceived(header(verb, attempt="a") + b"\n")
        assert b"before the proofs" in transport.value() or b"not open" in transport.value()
        assert end.got == []


def test_the_other_side_s_verbs_are_refused() -> None:
    inbox = Inbox(FROM_WORKER)
    inbox.proven = True
    with pytest.raises(ProtocolError, match="not this side's"):
        inbox.line(header("Run"))


def test_a_peer_that_proves_nothing_is_cut() -> None:
    clock = Clock()
    _, transport = connected(clock)
    clock.advance(HANDSHAKE_S)
    assert b"no proof" in transport.value()
    assert not transport.connected


def test_silence_ends_a_link_and_any_byte_is_life() -> None:
    clock = Clock()
    end, transport = proven(clock)
    for _ in range(4):
        clock.advance(5.0)
        end.dataReceived(b"{")
    assert transport.connected
    clock.pump([5.0] * 4)
    assert not transport.connected
    assert not clock.getDelayedCalls()


def test_an_oversized_header_fails_in_the_sender() -> None:
    end, transport = proven()
    with pytest.raises(ValueError, match="header of"):
        end.send(Run(attempt="a", language="p", limits={"x" * 70_000: 1.0}, lease=1))
    end.send(Ping())
    assert json.loads(transport.value())["verb"] == "Ping"


def test_a_peers_error_closes_our_side_too() -> None:
    end = MessageReceiver(Clock())
    end.peer_sends = FROM_WORKER
    end._inbox = Inbox(FROM_WORKER)
    transport = StringTransportWithDisconnection()
    transport.protocol = end
    end.makeConnection(transport)
    end.dataReceived(written(Error(reason="enough")))
    assert not transport.connected
