"""Links over real sockets, by an address of this machine that is not its loopback."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import psutil
import pytest
from fakes import KEY, SECRET, FakeSandbox
from harness import Daemon
from slots import until
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IProtocolFactory

from runyard.daemon.keys import make_keys
from runyard.daemon.tls import is_loopback
from runyard.sched.addresses import dialled, parse
from runyard.sched.known import KnownWorkers
from runyard.sched.link import LinkSettings, WorkerLink
from runyard.sched.roster import Roster
from runyard.sched.session import Leases
from runyard.worker.door import Door
from runyard.worker.executor import Executor
from runyard.worker.link import Credentials, Identity, WorkerFactory

reactor: Any = installed


def own_address() -> str:
    """Give an address of this machine that is not loopback, or skip the test."""
    for addresses in psutil.net_if_addrs().values():
        for each in addresses:
            if each.family == socket.AF_INET and not is_loopback(each.address):
                return each.address
    pytest.skip("this machine has no IPv4 address but its loopback")


def free_port() -> int:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def start_worker(state: Path, keys: Path, name: str, listen: str, *options: str) -> Daemon:
    """Start a worker's daemon; wait until it listens."""
    make_keys(keys)
    worker = Daemon(
        "worker", "--allow-unsandboxed", "--isolation=none",
        "--slots=2", f"--name={name}", f"--state={state}",
        f"--listen={listen}", f"--controller-key={keys / 'controller.pub'}",
        f"--fleet-secret={keys / 'fleet.secret'}", *options,
    )  # fmt: skip
    worker.says("listens on")
    return worker


class Rig:
    """A worker with a fake sandbox behind a real port, and a controller's link."""

    def __init__(self) -> None:
        self.host = own_address()
        self.sandbox = FakeSandbox()
        executor = Executor(reactor, self.sandbox, 2)
        self.factory = WorkerFactory(
            reactor, executor, Identity("w1", "boot-1"), Credentials(KEY.public_key(), SECRET),
            lambda: None, lambda count: None,
        )  # fmt: skip
        self.roster = Roster(reactor)
        self.ports: list[Any] = []
        self.link: Any = None

    async def listen(self, factory: IProtocolFactory, interface: str = "") -> int:
        """Listen; give the port."""
        port = await TCP4ServerEndpoint(reactor, 0, interface=interface).listen(factory)
        self.ports.append(port)
        number: int = port.getHost().port
        return number

    async def worker(self, *, always: bool = False, interface: str = "") -> int:
        """Start the worker; on every interface, unless told otherwise."""
        return await self.listen(Door(reactor, self.factory, always=always), interface)

    def dial(self, address: str) -> WorkerLink:
        """Start the controller's link."""
        settings = LinkSettings("scheduler", KEY, SECRET, 5.0, 15.0, Leases(0.2, 0.2))
        known = KnownWorkers(reactor, settings.leases)
        place = parse(address)
        link = WorkerLink(reactor, dialled(reactor, place), address, settings, self.roster, known)
        self.link = link
        link.service.startService()
        return link

    async def linked(self) -> Any:
        """Wait for the worker in the roster."""
        await until(lambda: bool(list(self.roster)))
        (worker,) = self.roster
        return worker

    async def stop(self) -> None:
        """End it all."""
        if self.link is not None:
            await self.link.service.stopService()
        for port in self.ports:
            await maybeDeferred(port.stopListening)
        links = list(self.factory.links)
        for each in links:
            each.close()
        for each in links:
            await each.lost
        for job in self.sandbox.jobs:
            if not job.done.called:
                job.end(9)
        settle: Deferred[None] = Deferred()
        reactor.callLater(0.3, settle.callback, None)  # the lease, and what waits for it
        await settle
