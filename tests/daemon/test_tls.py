"""Links over TLS in memory: who gets through, who does not, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import KEY, SECRET, a_task
from OpenSSL import SSL
from secured import FAR, NEAR, Interceptor, Relay, SecuredPair, inner, pump, warnings
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory

from runyard.daemon.tls import ClientOptions, ServerOptions, binding, is_local, is_tls
from runyard.protocols.limits import MIB
from runyard.protocols.lines import CLOSE_S, HANDSHAKE_S
from runyard.worker.door import MOST_UNPROVEN, Door
from runyard.worker.kept import KEEP_S

PEERS = [
    (IPv4Address("TCP", "127.0.0.1", 1), True),
    (IPv4Address("TCP", "127.9.8.7", 1), True),
    (IPv6Address("TCP", "::1", 1), True),
    (IPv6Address("TCP", "::ffff:127.0.0.1", 1), True),
    (UNIXAddress("/x"), True),
    (IPv4Address("TCP", "192.0.2.9", 1), False),
    (IPv6Address("TCP", "::ffff:192.0.2.9", 1), False),
    (IPv6Address("TCP", "fe80::1%eth0", 1), False),
    (None, False),
]


@pytest.mark.parametrize(("peer", "local"), PEERS, ids=[str(peer) for peer, _ in PEERS])
def test_what_is_on_this_machine(peer: object, local: bool) -> None:
    assert is_local(peer) is local


def finish(pair: SecuredPair) -> None:
    """End a pair, so that nothing stays timed."""
    pair.client.close()
    pair.pump.flush()
    pair.clock.advance(KEEP_S)
    pair.pump.flush()
    for job in pair.sandbox.jobs:
        if not job.done.called:
            job.end(9)
    pair.clock.advance(CLOSE_S)
    assert not pair.clock.getDelayedCalls()


def handshake(server: Any, client: Any) -> tuple[Any, Any]:
    """Run a bare TLS handshake; give both transports."""
    clock = Clock()
    ends = [
        TLSMemoryBIOFactory(each, each is client, Factory.forProtocol(Protocol), clock)
        for each in (server, client)
    ]
    made: list[Any] = [end.buildProtocol(None) for end in ends]
    pump(clock, *made).flush()
    return made[0], made[1]


def test_both_ends_have_one_binding_and_each_connection_another() -> None:
    server, client = ServerOptions(), ClientOptions()
    first, second = handshake(server, client), handshake(server, client)
    assert binding(first[0]) == binding(first[1])
    assert len(binding(first[0])) == 64
    assert binding(first[0]) != binding(second[0])
    assert binding(object()) == ""


def test_nothing_but_tls_1_3_and_nothing_is_resumed() -> None:
    server, client = ServerOptions(), ClientOptions()
    one, _ = handshake(server, client)
    assert one.getHandle().get_protocol_version_name() == "TLSv1.3"
    older = ClientOptions()
    older._context.set_min_proto_version(SSL.TLS1_2_VERSION)
    older._context.set_max_proto_version(SSL.TLS1_2_VERSION)
    made, _ = handshake(server, older)
    assert made.getHandle() is None, "it was closed"

    class Resuming(ClientOptions):
        session: Any = None

        def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:
            connection = super().clientConnectionForTLS(protocol)
            if self.session is not None:
                connection.set_session(self.session)
            return connection

    again = Resuming()
    _, first = handshake(server, again)
    again.session = first.getHandle().get_session()
    assert again.session is not None
    _, second = handshake(server, again)
    assert binding(first) != binding(second)
    reused: Any = SSL._lib.SSL_session_reused  # type: ignore[attr-defined]
    assert not reused(second.getHandle()._ssl)


def test_a_certificate_is_made_anew_at_each_start() -> None:
    seen = {
        handshake(ServerOptions(), ClientOptions())[1].getPeerCertificate().digest("sha256")
        for _ in range(2)
    }
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("more", "tls"),
    [
        ({}, True),
        ({"peer": NEAR, "client_tls": False}, False),
        ({"peer": NEAR, "always": True}, True),
    ],
    ids=["far", "near", "near, always TLS"],
)
def test_a_link_works_plain_or_over_tls(more: dict[str, Any], tls: bool) -> None:
    with warnings() as told:
        pair = SecuredPair(**more)
        assert pair.worker.name == "w1"
        assert is_tls(pair.server.transport) is is_tls(pair.client.transport) is tls
        task = a_task(stdin=b"s" * 16 * MIB)
        results = pair.run(task)
        (job,) = pair.sandbox.jobs
        assert job.job.stdin == task.stdin
        job.end(stdout=b"out\n")
        pair.pump.flush()
        assert results[-1].stdout == b"out\n"
        finish(pair)
    assert told == []


def test_a_unix_socket_stays_plain_even_where_tls_is_asked_of_all() -> None:
    pair = SecuredPair(client_tls=False, peer=UNIXAddress("/x"), always=True)  # type: ignore[arg-type]
    assert pair.worker.name == "w1"
    finish(pair)


IN_THE_MIDDLE = [
    ("ends TLS on both sides", {"to_controller": True, "to_worker": True}),
    ("leaves it out to a worker that takes it for a neighbour",
     {"to_controller": True, "to_worker": False, "peer": NEAR}),
    ("leaves it out to a controller that takes it for a neighbour",
     {"to_controller": False, "to_worker": True, "client_tls": False}),
]  # fmt: skip


@pytest.mark.parametrize(("where", "setting"), IN_THE_MIDDLE, ids=[n for n, _ in IN_THE_MIDDLE])
def test_who_stands_between_gets_nothing_from_either_side(
    where: str, setting: dict[str, Any]
) -> None:
    with warnings() as told:
        pair = Interceptor(**setting)
    assert b"Welcome" in pair.front.seen, "the controller came as far as its proof"
    assert b'"Proof"' not in pair.back.seen, "the worker gave none"
    assert list(pair.roster) == []
    assert not pair.server.proven
    assert not pair.client.proven
    assert len(told) == 2, "one line on each side"
    assert all("the controller's proof is wrong" in line for line in told)
    pair.clock.advance(CLOSE_S)
    assert not pair.clock.getDelayedCalls()


def test_who_stands_between_and_passes_bytes_on_only_sees_tls() -> None:
    pair = Interceptor(to_controller=False, to_worker=False)
    assert pair.worker.name == "w1"
    assert b"Hello" not in pair.back.seen
    assert b"boot-1" not in pair.back.seen
    pair.client.transport.abortConnection()
    pair.server.transport.abortConnection()
    pair.clock.advance(0)


def test_a_plain_controller_at_a_tls_door_is_closed_with_one_line() -> None:
    with warnings() as told:
        pair = SecuredPair(client_tls=False)
        pair.clock.advance(HANDSHAKE_S)
        pair.pump.flush()
    assert not list(pair.roster)
    assert len([line for line in told if "no proof within" in line]) >= 1
    assert all("no proof within" in line or "TLS failed" in line for line in told), told
    assert len(told) <= 2
    pair.clock.advance(CLOSE_S)
    pair.pump.flush()
    assert pair.server.closing
    assert not pair.clock.getDelayedCalls()


def test_a_tls_controller_at_a_plain_door_is_closed_with_one_line() -> None:
    with warnings() as told:
        pair = SecuredPair(peer=NEAR)
        pair.clock.advance(CLOSE_S)
        pair.pump.flush()
    assert len(told) == 2
    assert any("it speaks TLS where this side expects none" in line for line in told)
    assert any("TLS failed" in line for line in told)
    assert not pair.clock.getDelayedCalls()


@pytest.mark.parametrize("talk", [b"", b"\x16\x03\x01", b"GET / HTTP/1.0\r\n\r\n", b"\0" * 70_000])
def test_who_does_not_speak_tls_is_gone_by_the_deadline_with_one_line(talk: bytes) -> None:
    pair = SecuredPair()
    door = Door(pair.clock, pair.factory)
    server: Any = door.buildProtocol(FAR)
    link = inner(server)
    peer = Relay()
    peer.other = Relay()
    with warnings() as told:
        line = pump(pair.clock, server, peer)
        peer.transport.write(talk)  # type: ignore[union-attr]
        line.flush()
        pair.clock.advance(HANDSHAKE_S)
        line.flush()
    assert line.serverIO.disconnected
    assert link.lost.called
    assert len(told) == 1, told
    finish(pair)


@pytest.mark.parametrize("peer", [FAR, NEAR], ids=["TLS", "plain"])
def test_of_a_probe_that_only_connects_nothing_is_said(peer: IPv4Address) -> None:
    pair = SecuredPair()
    server: Any = Door(pair.clock, pair.factory).buildProtocol(peer)
    probe = Relay()
    probe.other = Relay()
    with warnings() as told:
        line = pump(pair.clock, server, probe)
        probe.transport.loseConnection()  # type: ignore[union-attr]
        line.flush()
    assert told == []
    assert len(pair.factory.links) == 1
    finish(pair)


def test_strangers_are_counted_and_too_many_are_not_let_in() -> None:
    pair = SecuredPair()
    door = Door(pair.clock, pair.factory)
    with warnings() as told:
        made = [door.buildProtocol(FAR) for _ in range(MOST_UNPROVEN + 3)]
    assert made[MOST_UNPROVEN:] == [None] * 3
    assert None not in made[:MOST_UNPROVEN]
    assert len(told) == 1
    assert pair.worker.name == "w1"
    finish(pair)


def test_a_controller_that_stops_hangs_up_over_tls_too() -> None:
    pair = SecuredPair()
    pair.link.hang_up()
    pair.pump.flush()
    assert pair.client.lost.called
    assert pair.server.lost.called
    finish(pair)


def test_no_log_holds_a_secret_or_a_binding(monkeypatch: pytest.MonkeyPatch) -> None:
    bindings: list[str] = []

    def noted(transport: Any) -> str:
        bindings.append(binding(transport))
        return bindings[-1]

    monkeypatch.setattr("runyard.sched.connection.binding", noted)
    with warnings() as told:
        pair = Interceptor(to_controller=True, to_worker=True)
        wrong = SecuredPair(secret=b"x" * 32)
        pair.clock.advance(CLOSE_S)
        wrong.clock.advance(CLOSE_S)
    assert told
    assert len(bindings) == 2
    private = KEY.private_bytes_raw().hex()
    hidden = [SECRET.hex(), SECRET.decode(), "x" * 32, private, *bindings]
    assert not any(each in line for line in told for each in hidden)
