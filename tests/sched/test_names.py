"""Names with several addresses, on a clock and with a resolver that answers as the test says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from secured import SecuredPair, warnings
from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.task import Clock
from zope.interface import implementer

from runyard.sched.addresses import TcpPlace
from runyard.sched.names import ANSWER_S, RESOLVE_S, NamedWorkers

PATIENCE_S = 12.0


class FakeLink:
    def __init__(self, place: TcpPlace) -> None:
        self.place = place
        self.linked: object = None
        self.service = Service()


@implementer(IHostnameResolver)
class FakeResolver:
    """Answers with `found`; does not while that is None; raises what is an error."""

    def __init__(self) -> None:
        self.found: list[str] | Exception | None = []
        self.asked = 0
        self.pending: list[Any] = []

    def resolveHostName(
        self,
        receiver: Any,
        host: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        assert host == "workers.example"
        self.asked += 1
        if isinstance(self.found, Exception):
            raise self.found
        receiver.resolutionBegan(None)
        if self.found is None:
            self.pending.append(receiver)
        else:
            self.answer(receiver, self.found)

    def answer(self, receiver: Any, found: list[str]) -> None:
        for ip in found:
            kind = IPv6Address if ":" in ip else IPv4Address
            receiver.addressResolved(kind("TCP", ip, 7070))
        receiver.resolutionComplete()


class Named:
    def __init__(self) -> None:
        self.clock = Clock()
        self.resolver = FakeResolver()
        self.links: dict[str, FakeLink] = {}
        self.unreachable: dict[str, str] = {}
        self.service = NamedWorkers(
            self.clock, self.resolver, TcpPlace("workers.example", 7070), self.make, PATIENCE_S,
            self.unreachable,
        )  # fmt: skip

    def make(self, place: TcpPlace) -> FakeLink:
        assert place.port == 7070
        self.links[place.host] = FakeLink(place)
        return self.links[place.host]

    def look(self, found: list[str] | Exception | None, rounds: int = 1) -> list[str]:
        self.resolver.found = found
        if not self.service.running:
            self.service.startService()
            rounds -= 1
        for _ in range(rounds):
            self.clock.advance(RESOLVE_S)
        return self.service.addresses


@pytest.fixture
def named() -> Iterator[Named]:
    made = Named()
    yield made
    if made.service.running:
        made.service.stopService()
    assert not made.clock.getDelayedCalls()
    assert not any(link.service.running for link in made.links.values())


def test_each_address_is_a_worker_of_its_own_in_both_families(named: Named) -> None:
    assert named.look(["10.0.0.1", "fd00::2", "10.0.0.1"]) == ["10.0.0.1", "fd00::2"]
    assert all(link.service.running for link in named.links.values())
    assert str(named.links["fd00::2"].place) == "tcp:[fd00::2]:7070"


def test_new_addresses_join_and_known_ones_are_left_alone(named: Named) -> None:
    named.look(["10.0.0.1"])
    first = named.links["10.0.0.1"]
    assert named.look(["10.0.0.1", "10.0.0.2"]) == ["10.0.0.1", "10.0.0.2"]
    assert named.links["10.0.0.1"] is first


def test_addresses_that_nobody_can_have_are_passed_over(named: Named) -> None:
    assert named.look(["0.0.0.0", "::", "224.0.0.1", "10.0.0.1"]) == ["10.0.0.1"]


def test_one_that_left_the_name_is_kept_while_it_is_linked_and_a_while_after(named: Named) -> None:
    named.look(["10.0.0.1", "10.0.0.2"])
    leaving = named.links["10.0.0.2"]
    leaving.linked = object()
    assert named.look(["10.0.0.1"], 10) == ["10.0.0.1", "10.0.0.2"]
    leaving.linked = None
    assert named.look(["10.0.0.1"], 3) == ["10.0.0.1", "10.0.0.2"]
    assert named.look(["10.0.0.1"]) == ["10.0.0.1"]
    assert not leaving.service.running


def test_one_that_comes_back_in_time_is_not_given_up(named: Named) -> None:
    named.look(["10.0.0.1", "10.0.0.2"])
    named.look(["10.0.0.1"], 2)
    named.look(["10.0.0.1", "10.0.0.2"])
    assert named.look(["10.0.0.1"], 3) == ["10.0.0.1", "10.0.0.2"]


def test_a_failing_resolver_changes_nothing_and_is_told_of_once(named: Named) -> None:
    named.look(["10.0.0.1"])
    with warnings() as told:
        assert named.look([], 20) == ["10.0.0.1"]
        assert named.look(RuntimeError("broken"), 3) == ["10.0.0.1"]
    assert len(told) == 1
    assert "workers.example cannot be resolved" in told[0]
    assert named.look(["10.0.0.2"]) == ["10.0.0.1", "10.0.0.2"]
    with warnings() as told:
        named.look([], 2)
    assert len(told) == 1, "it had healed meanwhile"


def test_a_name_that_is_not_there_yet_may_come(named: Named) -> None:
    assert named.look([]) == []
    assert named.look(["10.0.0.1"]) == ["10.0.0.1"]


def test_a_slow_resolver_is_not_asked_again_until_it_is_given_up(named: Named) -> None:
    named.look(None)
    with warnings() as told:
        named.look(None, int(ANSWER_S / RESOLVE_S) - 1)
        assert named.resolver.asked == 1
        named.look(None, 2)
    assert named.resolver.asked == 2
    assert "no answer within" in told[0]
    late, present = named.resolver.pending
    named.resolver.answer(late, ["10.0.0.9"])
    assert named.service.addresses == []
    named.resolver.answer(present, ["10.0.0.1"])
    assert named.service.addresses == ["10.0.0.1"]


def test_stopping_waits_for_the_links_and_for_no_resolver(named: Named) -> None:
    named.look(["10.0.0.1"])
    named.look(None)
    ending: Deferred[None] = Deferred()
    named.links["10.0.0.1"].service.stopService = lambda: ending  # type: ignore[method-assign]
    stopped: list[Any] = []
    named.service.stopService().addCallback(stopped.append)
    named.resolver.answer(named.resolver.pending[0], ["10.0.0.2"])
    assert named.links.keys() == {"10.0.0.1"}
    assert stopped == []
    ending.callback(None)
    assert len(stopped) == 1
    Service.stopService(named.links["10.0.0.1"].service)


def test_a_second_address_of_a_linked_worker_waits_without_a_word() -> None:
    first = SecuredPair()
    second = SecuredPair(secret=b"never asked for" * 3)
    second.link._known, second.link.address = first.known, "unix:other"
    with warnings() as told:
        for _ in range(3):
            second.connect()
    assert told == []
    assert second.link.pause(0) == 5
    assert first.worker is first.link.worker
    assert first.client.proven
    for pair in (first, second):
        pair.client.close()
        pair.pump.flush()
        pair.clock.advance(100)
        pair.pump.flush()
        assert not pair.clock.getDelayedCalls()


def test_a_name_that_cannot_be_resolved_is_told_as_unreachable_until_it_can(named: Named) -> None:
    named.look([])
    assert "cannot be resolved" in named.unreachable["tcp:workers.example:7070"]
    named.look(["10.0.0.1"])
    assert named.unreachable == {}
