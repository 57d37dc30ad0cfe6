"""Who may call at all: never the host of a worker."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import a_worker
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.task import Clock

from runyard.sched.gate import in_turn, workers_gate
from runyard.sched.roster import Roster


class Call:
    """A request, as far as the gate looks at it."""

    path, method = b"/execute", b"GET"

    def __init__(self, client: str, server: str) -> None:
        self.client, self.server = client, server

    def getClientAddress(self) -> Any:
        kind = IPv6Address if ":" in self.client else IPv4Address
        return kind("TCP", self.client, 1)

    def getHost(self) -> Any:
        return IPv4Address("TCP", self.server, 5000)


@pytest.mark.parametrize(
    ("client", "server", "refused"),
    [
        ("10.0.0.7", "10.0.0.1", True),
        ("::ffff:10.0.0.7", "10.0.0.1", True),
        ("10.0.0.8", "10.0.0.1", False),
        ("10.0.0.7", "10.0.0.7", False),
        ("127.0.0.1", "127.0.0.1", False),
        ("127.0.0.1", "10.0.0.1", False),
        ("fd00::7", "10.0.0.1", True),
    ],
)
def test_a_worker_s_host_may_not_call_and_others_may(
    client: str, server: str, refused: bool
) -> None:
    roster = Roster(Clock())
    places = ("tcp:10.0.0.7:7070", "tcp:127.0.0.1:7071", "unix:/x", "tls:[fd00::7]:7070")
    for number, place in enumerate(places):
        roster.up(a_worker(f"w{number}", address=place)[0])
    gate = in_turn(lambda request: None, workers_gate(roster.is_host))
    call: Any = Call(client, server)
    answer = gate(call)
    assert (answer is not None and answer.status == 403) is refused
    for worker in list(roster):
        roster.down(worker)
    assert gate(call) is None, "none of them is linked any more"
