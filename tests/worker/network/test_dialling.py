"""Names resolved within bounds; what was judged is what is dialled."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest
import pytest_twisted
from egress import OTHER, PRIVATE, PUBLIC, Bench, Names
from slots import until
from twisted.internet import error as failed
from twisted.internet import reactor as installed
from twisted.internet.defer import CancelledError

from runyard.worker.network.dialling import is_own
from runyard.worker.network.policy import parse_allow
from runyard.worker.network.resolve import RESOLVE_S, Threads, look_up

reactor: Any = installed
CONNECT = b"CONNECT site.test:443 HTTP/1.1\r\n\r\n"


@pytest.fixture
def benches() -> Iterator[list[Bench]]:
    made: list[Bench] = []
    yield made
    for each in made:
        each.close()


def bench_of(benches: list[Bench], *answers: Any, rules: tuple[str, ...] = ()) -> Bench:
    made = Bench(*map(parse_allow, rules), names=Names(site_test=list(answers)))
    benches.append(made)
    return made


def test_a_name_that_turns_private_is_not_reached(benches: list[Bench]) -> None:
    bench = bench_of(benches, [PUBLIC], [PRIVATE], ["127.0.0.1"], ["::1"], ["::ffff:10.0.0.7"])
    bench.joined(CONNECT)
    assert bench.names.asked == ["site.test"]  # once, and what was judged is what was dialled
    assert bench.dialled == [(PUBLIC, 443)]
    for _ in range(4):
        task = bench.connect()
        task.protocol.dataReceived(CONNECT)
        assert task.value().startswith(b"HTTP/1.1 403 ")
        assert b"site.test resolves to " in task.value()
    assert bench.dialled == [(PUBLIC, 443)]
    assert bench.egress.counters.refused == 4


def test_only_the_permitted_ones_of_a_name_are_tried(benches: list[Bench]) -> None:
    bench = bench_of(
        benches, [PRIVATE, "169.254.169.254", PUBLIC, "::1", "fe80::1%eth0", OTHER, PUBLIC]
    )
    task = bench.connect()
    task.protocol.dataReceived(CONNECT)
    bench.refuse(failed.ConnectionRefusedError())
    bench.refuse(failed.ConnectionRefusedError())
    assert bench.dialled == [(PUBLIC, 443), (OTHER, 443)]
    assert task.value().startswith(b"HTTP/1.1 502 ")
    assert f"{OTHER}:443 refuses connections".encode() in task.value()


def test_at_most_four_addresses_are_tried(benches: list[Bench]) -> None:
    bench = bench_of(benches, [f"8.8.8.{n}" for n in range(1, 9)])
    task = bench.connect()
    task.protocol.dataReceived(CONNECT)
    for _ in range(4):
        assert not task.wrote_end
        bench.refuse(failed.TimeoutError())
    assert task.value().startswith(b"HTTP/1.1 504 ")
    assert len(bench.dialled) == 4


def test_an_answer_with_a_zone_is_none(benches: list[Bench]) -> None:
    bench = bench_of(benches, ["2606:4700::1111%1"])
    task = bench.connect()
    task.protocol.dataReceived(CONNECT)
    assert b"runyard: site.test has no address\n" in task.value()
    assert bench.dialled == []


def test_a_mapped_answer_is_dialled_as_what_it_is(benches: list[Bench]) -> None:
    bench = bench_of(benches, [f"::ffff:{PUBLIC}"])
    bench.joined(CONNECT)
    assert bench.dialled == [(PUBLIC, 443)]


def test_a_rule_by_name_reaches_private_and_own_addresses(benches: list[Bench]) -> None:
    bench = bench_of(benches, [PRIVATE], rules=("site.test:443",))
    bench.joined(CONNECT)
    task = bench.connect()
    task.protocol.dataReceived(CONNECT.replace(b"443", b"80"))
    assert task.value().startswith(b"HTTP/1.1 403 ")
    assert bench.dialled == [(PRIVATE, 443)]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (failed.ConnectionRefusedError(), 502, 5),
        (failed.TimeoutError(), 504, 4),
        (failed.TCPTimedOutError(errno.ETIMEDOUT), 504, 4),
        (failed.NoRouteError(errno.ENETUNREACH), 502, 3),
        (failed.ConnectError(errno.EHOSTUNREACH), 502, 4),
        (failed.ConnectError(errno.EACCES), 502, 1),
    ],
)
def test_why_nothing_stands(benches: list[Bench], error: Exception, status: int, code: int) -> None:
    bench = bench_of(benches, [PUBLIC])
    for asked in (CONNECT, b"\5\1\0\5\1\0\3\x09site.test\1\xbb"):
        task = bench.connect()
        task.protocol.dataReceived(asked)
        bench.refuse(error)
        answer = task.value()
        expected = b"HTTP/1.1 %d " % status if asked is CONNECT else b"\5\0\5" + bytes([code])
        assert answer.startswith(expected)
    assert bench.egress.counters.failed == 2


def test_a_name_that_nobody_answers_ends_in_time(benches: list[Bench]) -> None:
    bench = bench_of(benches, None)
    task = bench.connect()
    task.protocol.dataReceived(CONNECT)
    bench.reactor.advance(RESOLVE_S - 0.1)
    assert task.value() == b""
    bench.reactor.advance(0.1)
    assert task.value().startswith(b"HTTP/1.1 504 ")
    assert b"site.test was not resolved within 5 s" in task.value()


@pytest.mark.parametrize("answers", [None, [PUBLIC]])
def test_stop_ends_what_is_being_dialled(benches: list[Bench], answers: Any) -> None:
    bench = bench_of(benches, answers)
    bench.connect().protocol.dataReceived(CONNECT)
    assert bench.egress.open == 1
    assert bench.egress.stop().called
    assert bench.egress.open == 0


def test_a_task_that_leaves_gives_its_dialling_up(benches: list[Bench]) -> None:
    bench = bench_of(benches, [PUBLIC])
    task = bench.connect()
    task.protocol.dataReceived(CONNECT)
    task.break_off()
    assert bench.egress.open == 0


def test_own_addresses_are_known() -> None:
    assert is_own(ip_address("127.0.0.1"))
    assert is_own(ip_address("127.8.8.8"))
    assert not is_own(ip_address("192.0.2.1"))
    assert not is_own(ip_address("8.8.8.8"))
    assert not is_own(ip_address("2606:4700::1111"))


@pytest_twisted.ensureDeferred
async def test_names_are_resolved_in_threads_a_few_at_a_time() -> None:
    gates = [threading.Event() for _ in range(4)]
    begun: list[str] = []

    def look(name: str) -> list[str]:
        begun.append(name)
        if not gates[int(name)].wait(20):
            raise OSError(-3, "slow")
        return [f"8.8.8.{name}"]

    threads = Threads(reactor, look)
    resolver = threads.share(most=2)
    answers = [resolver(str(n)) for n in range(4)]
    assert threads.busy == 2
    gates[0].set()
    assert await answers[0] == ["8.8.8.0"]
    answers[1].cancel()  # its thread still counts
    answers[1].addErrback(lambda failure: failure.trap(CancelledError))
    gates[2].set()
    assert await answers[2] == ["8.8.8.2"]
    assert begun == ["0", "1", "2", "3"][: len(begun)]
    assert len(begun) >= 3
    gates[3].set()
    assert await answers[3] == ["8.8.8.3"]
    assert threads.busy == 1
    gates[1].set()
    await until(lambda: threads.busy == 0)


@pytest_twisted.ensureDeferred
async def test_a_failed_lookup_is_an_error() -> None:
    def look(name: str) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(socket.gaierror):
        await Threads(reactor, look).share()("x.test")


def test_the_system_resolves() -> None:
    assert "127.0.0.1" in look_up("localhost") + ["127.0.0.1"] * ("::1" in look_up("localhost"))
