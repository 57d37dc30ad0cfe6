"""The worker processes that were linked, by name: their sessions outlive links and addresses."""

from __future__ import annotations

from attrs import define
from twisted.internet.interfaces import IReactorTime

from runyard.protocols.errors import ProtocolError
from runyard.protocols.messages import Hello
from runyard.sched.roster import Worker
from runyard.sched.session import Leases, WorkerSession

MOST_IDLE = 1024


class LinkedElsewhere(Exception):
    """The same process is linked already, by another of its addresses."""


@define
class _Known:
    address: str
    session: WorkerSession
    worker: Worker


class KnownWorkers:
    """Tells which process a connection leads to. A process is its name and its boot."""

    def __init__(self, clock: IReactorTime, leases: Leases) -> None:
        self._clock = clock
        self._leases = leases
        self._by_name: dict[str, _Known] = {}

    def admit(self, hello: Hello, address: str) -> tuple[Worker, WorkerSession]:
        """Give the worker of a connection that has proven itself, with what runs on it.

        A process that was linked by another address is taken up where it was. Another process of
        the same name at the same address proves that one dead.

        Raises:
            LinkedElsewhere: it is linked now, by another address.
            ProtocolError: another process of its name is linked, or may still run what it had.
        """
        known = self._by_name.get(hello.name)
        if known is None or known.session.boot != hello.boot:
            return self._another(hello, address, known)
        if known.session.linked_now:
            raise LinkedElsewhere(f"worker {hello.name} is linked by {known.address}")
        known.address = known.worker.address = address
        known.worker.draining = False
        known.worker.formats = tuple(hello.formats)
        return known.worker, known.session

    def linked_elsewhere(self, hello: Hello, address: str) -> str | None:
        """Give the address by which a process is linked now, where that is another than this."""
        known = self._by_name.get(hello.name)
        if known is None or known.session.boot != hello.boot or known.address == address:
            return None
        return known.address if known.session.linked_now else None

    def dead(self, name: str, address: str, why: str) -> None:
        """The process of this name at this address is proven to be gone."""
        known = self._by_name.get(name)
        if known is not None and known.address == address:
            known.session.dead(why)

    def _another(
        self, hello: Hello, address: str, known: _Known | None
    ) -> tuple[Worker, WorkerSession]:
        if known is not None:
            self._bury(hello.name, address, known)
        session = WorkerSession(self._clock, hello.boot, self._leases)
        worker = Worker(
            hello.name, hello.boot, address, hello.slots, hello.isolation,
            tuple(hello.runtimes), session, tuple(hello.formats), hello.files, hello.network,
        )  # fmt: skip
        self._forget_idle()
        self._by_name[hello.name] = _Known(address, session, worker)
        return worker, session

    def _bury(self, name: str, address: str, known: _Known) -> None:
        if known.session.linked_now:
            raise ProtocolError(f"a worker named {name!r} is linked already, by {known.address}")
        if known.address == address:
            known.session.dead("another process answers at its address")
        elif known.session.in_doubt:
            raise ProtocolError(
                f"a worker named {name!r} was linked by {known.address} and may still run tasks"
            )

    def _forget_idle(self) -> None:
        """Forget processes that are gone, where names are never used twice and so pile up."""
        if len(self._by_name) < MOST_IDLE:
            return
        kept = self._by_name.items()
        self._by_name = {n: k for n, k in kept if k.session.linked_now or k.session.in_doubt}
