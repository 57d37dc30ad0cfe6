"""What is decided of ways out before any is opened."""

from __future__ import annotations

import resource
import socket
from types import SimpleNamespace
from typing import Any

import pytest
from egress import PUBLIC, HalfTransport
from pair import Pair
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.testing import MemoryReactorClock
from twisted.python.usage import UsageError

from runyard.daemon.descriptors import TooFewDescriptors, make_room
from runyard.worker import tap
from runyard.worker.network.egress import MOST_CONNECTIONS
from runyard.worker.network.gateway import Gateway, refused_of
from runyard.worker.network.policy import parse_allow
from runyard.worker.options import Options
from runyard.worker.sandbox.choosing import refuse_host
from runyard.worker.sandbox.jail.layout import hidden
from runyard.worker.sandbox.levels import LEVELS, NONE
from runyard.worker.sandbox.runtimes import Interpreter
from runyard.worker.service import network_words


def test_schedulers_of_other_machines_are_refused_and_loopback_is_judged_as_ever() -> None:
    found = refused_of(["127.0.0.1", "::1", "93.184.216.34", "::ffff:93.184.216.35", "fe80::1%e"])
    assert sorted(map(str, found)) == ["93.184.216.34", "93.184.216.35", "fe80::1"]


def test_a_worker_knows_where_its_proven_schedulers_are() -> None:
    pair = Pair()
    transport: Any = pair.server.transport
    transport.peerAddress = IPv4Address("TCP", "93.184.216.34", 40000)
    assert pair.factory.hosts == {"93.184.216.34"}
    transport.peerAddress = UNIXAddress(b"")
    assert pair.factory.hosts == frozenset()
    transport.peerAddress = IPv4Address("TCP", "93.184.216.34", 40000)
    pair.cut()
    assert pair.factory.hosts == frozenset()


def test_a_scheduler_that_links_while_a_task_runs_is_refused_to_it() -> None:
    hosts: list[str] = []
    reactor: Any = MemoryReactorClock()
    egress = Gateway(reactor, fleet=lambda: hosts).open(0, socket.socket(), "a.1")
    asked = []
    for hosts[:] in ([], [PUBLIC], []):
        task = HalfTransport()
        task.join(egress.buildProtocol(None))
        task.protocol.dataReceived(f"CONNECT {PUBLIC}:443 HTTP/1.1\r\n\r\n".encode())
        asked.append((len(reactor.tcpClients), b"an address of runyard's own" in task.value()))
    assert asked == [(1, False), (1, True), (2, False)]
    assert egress.stop().called


@pytest.mark.parametrize("level", [level for level in LEVELS if level != NONE])
def test_the_machine_s_network_is_refused_where_tasks_are_confined(level: str) -> None:
    with pytest.raises(UsageError, match=f"--network host is not supported at level {level}"):
        refuse_host("host", level)
    for network in ("proxy", "none"):
        refuse_host(network, level)
    refuse_host("host", NONE)


def test_a_rule_is_read_when_the_worker_starts(capfd: pytest.CaptureFixture[str]) -> None:
    options = Options()
    options.parseOptions(["--network-allow=db.test:5432", "--network-allow=10.0.0.0/8"])
    assert options["network"] == "proxy"
    assert options["network-allow"] == (parse_allow("db.test:5432"), parse_allow("10.0.0.0/8"))
    for wrong, word in (
        ("--network-allow=db.test", "needs a port"),
        ("--network=hosts", "must be one of none, proxy, host, not 'hosts'"),
    ):
        with pytest.raises(SystemExit):
            Options().parseOptions([wrong])
        assert word in capfd.readouterr().err


@pytest.mark.parametrize(
    ("isolation", "network", "words"),
    [
        ("none", True, "nothing filters it"),
        ("none", False, "nothing filters it"),
        ("full", True, "tasks that ask have a proxy"),
        ("full", False, "tasks have no network"),
    ],
)
def test_the_log_says_what_tasks_have(isolation: str, network: bool, words: str) -> None:
    sandbox: Any = SimpleNamespace(isolation=isolation, network=network)
    assert words in network_words(sandbox)


def test_too_few_descriptors_for_the_slots_are_told_at_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(tap, "make_room", lambda count, *words: asked.append(count))
    for network in (False, True):
        sandbox: Any = SimpleNamespace(isolation="full", network=network)
        tap._make_room(8, sandbox)
    assert asked[1] - asked[0] == 8 * (2 * MOST_CONNECTIONS + 1)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 1024))
    with pytest.raises(TooFewDescriptors, match="for 8 slots, the system allows 1024"):
        make_room(2000, "8 slots", "fewer")


def test_an_interpreter_that_a_task_s_own_folders_would_hide_is_named() -> None:
    seen = Interpreter("python", "/usr/bin/python3", "3.11", ("/usr/lib/python3.11",))
    unseen = Interpreter("python:x", "/tmp/v/bin/python", "3.11", ("/usr", "/tmp/v"))
    assert hidden([seen]) is None
    assert "python:x: /tmp/v lies in /tmp" in str(hidden([seen, unseen]))
