"""Workers on other hosts: real daemons and real sockets, by an address that is not loopback."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from fakes import a_task
from harness import Daemon, eventually, system
from hosts import Rig, free_port, own_address, reactor, start_worker
from secured import Relay, warnings
from slots import until
from twisted.internet.protocol import ClientFactory, Factory
from twisted.protocols.tls import TLSMemoryBIOFactory

from runyard.daemon.tls import ClientOptions, ServerOptions, is_tls
from runyard.protocols.errors import Refused
from runyard.protocols.limits import MIB
from runyard.protocols.tasks import Reason


@pytest_twisted.async_yield_fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    yield made
    await made.stop()


@pytest.mark.parametrize("interface", ["", "::"], ids=["IPv4", "both families"])
@pytest_twisted.ensureDeferred
async def test_one_port_is_tls_to_other_hosts_and_plain_to_this_one(
    rig: Rig, interface: str
) -> None:
    if interface and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    port = await rig.worker(interface=interface)
    for host, tls in ((rig.host, True), ("127.0.0.1", False)):
        rig.dial(f"tcp:{host}:{port}")
        await rig.linked()
        (link,) = rig.factory.links
        assert is_tls(link.transport) is tls
        await rig.link.service.stopService()
        await until(lambda: not rig.factory.links)
        assert not list(rig.roster)


@pytest_twisted.ensureDeferred
async def test_tls_may_be_asked_for_on_this_machine_too(rig: Rig) -> None:
    port = await rig.worker(always=True)
    rig.dial(f"tls:127.0.0.1:{port}")
    await rig.linked()
    assert is_tls(next(iter(rig.factory.links)).transport)


@pytest_twisted.ensureDeferred
async def test_a_cancel_overtakes_sixteen_megabytes_over_tls(rig: Rig) -> None:
    rig.dial(f"tcp:{rig.host}:{await rig.worker()}")
    worker = await rig.linked()
    (server,) = rig.factory.links
    server.transport.pauseProducing()
    results: list[Any] = []
    run = worker.link.run("t.1", a_task(stdin=b"x" * 16 * MIB), lambda: None)
    run.addBoth(results.append)
    assert worker.link.busy, "the write side is paused"
    worker.link.cancel("t.1", Reason.ASKED)
    server.transport.resumeProducing()
    await until(lambda: bool(results), 30)
    assert results[0].check(Refused), "the Cancel was there before the Run was complete"
    assert rig.sandbox.jobs == []
    await until(lambda: not worker.link.busy)


@pytest_twisted.ensureDeferred
async def test_results_of_the_largest_size_come_back_over_tls(rig: Rig) -> None:
    rig.dial(f"tcp:{rig.host}:{await rig.worker()}")
    worker = await rig.linked()
    results: list[Any] = []
    worker.link.run("t.1", a_task(), lambda: None).addBoth(results.append)
    await until(lambda: bool(rig.sandbox.jobs))
    lines = b"y\n" * 8 * MIB
    rig.sandbox.jobs[0].end(stdout=lines, stderr=lines)
    await until(lambda: bool(results), 60)
    assert results[0].stdout == results[0].stderr == lines


class Middle(Factory):
    """Ends the controller's TLS, and dials the worker with its own."""

    noisy = False

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.seen: list[Relay] = []

    def buildProtocol(self, addr: object) -> Relay:
        front, back = Relay(), Relay()
        front.other, back.other = back, front
        self.seen += [front, back]
        inner = ClientFactory.forProtocol(lambda: back)
        inner.noisy = False
        secured = TLSMemoryBIOFactory(ClientOptions(), True, inner, reactor)
        reactor.connectTCP(self.host, self.port, secured)
        return front


@pytest_twisted.ensureDeferred
async def test_who_ends_tls_between_them_is_refused_by_both(rig: Rig) -> None:
    middle = Middle(rig.host, await rig.worker())
    between = await rig.listen(TLSMemoryBIOFactory(ServerOptions(), False, middle, reactor))
    with warnings() as told:
        rig.dial(f"tcp:{rig.host}:{between}")
        await until(lambda: len(told) >= 2)
        await rig.link.service.stopService()
        await until(lambda: not rig.factory.links)
    assert not list(rig.roster)
    front, back = middle.seen[:2]
    assert b"Hello" in back.seen
    assert b"Welcome" in front.seen
    assert b'"Proof"' not in back.seen
    assert sorted("closed by it" in line for line in told[:2]) == [False, True], "one on each side"
    assert all("the controller's proof is wrong" in line for line in told)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def worker(tmp_path: Path, port: int) -> Iterator[Daemon]:
    own_address()
    started = start_worker(tmp_path / "w", tmp_path / "s" / "keys", "far", f"tcp:{port}")
    try:
        yield started
    finally:
        started.process.send_signal(signal.SIGCONT)
        started.stop()


def test_a_task_of_sixteen_megabytes_runs_on_another_host(
    tmp_path: Path, worker: Daemon, port: int
) -> None:
    host = own_address()
    code = "import sys; print(len(sys.stdin.buffer.read()))"
    with system(tmp_path / "s", f"--worker=tcp:{host}:{port}") as running:
        (found,) = running.workers()
        assert (found["name"], found["address"]) == ("far", f"tcp:{host}:{port}")
        document = running.run(code, stdin="s" * 16 * MIB)
        assert (document["outcome"], document["stdout"]) == ("success", f"{16 * MIB}\n")
        secret = (tmp_path / "s" / "keys" / "fleet.secret").read_bytes()
    for said in (worker.read(), running.daemon.read()):
        assert "Traceback" not in said
        assert secret.hex() not in said
        assert secret.decode("latin-1").strip() not in said


def test_a_name_is_resolved_and_this_machine_s_own_is_plain(
    tmp_path: Path, worker: Daemon, port: int
) -> None:
    with system(tmp_path / "s", f"--worker=tcp:localhost:{port}") as running:
        (found,) = running.workers()
        assert found["name"] == "far"
        assert running.get("print(6*7)").text == "42\n"
        assert "localhost: a worker at 127.0.0.1" in running.daemon.read()


@pytest.mark.slow
def test_a_frozen_worker_s_link_is_cut_and_holds_up_no_stop(
    tmp_path: Path, worker: Daemon, port: int
) -> None:
    options = ("--heartbeat=0.3", "--silence=1.5", "--drain-timeout=1")
    address = f"tcp:{own_address()}:{port}"
    with system(tmp_path / "s", f"--worker={address}", *options) as running:
        worker.process.send_signal(signal.SIGSTOP)
        running.daemon.says("nothing came for", 20)
        worker.process.send_signal(signal.SIGCONT)
        eventually("it is back", running.workers)
        worker.process.send_signal(signal.SIGSTOP)
        assert running.stop() == 0
        assert "Traceback" not in running.daemon.output


@pytest.mark.slow
def test_who_never_speaks_tls_is_closed_at_the_deadline(worker: Daemon, port: int) -> None:
    peer = socket.create_connection((own_address(), port), timeout=20)
    with peer, contextlib.suppress(ConnectionResetError):
        assert peer.recv(1) == b""
    worker.says("no proof within 5 s")
    assert worker.read().count("no proof within") == 1
    assert "Traceback" not in worker.read()
