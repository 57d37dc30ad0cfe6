"""The worker's composition root: its options, and the tree that they make."""

from __future__ import annotations

import contextlib
import os
import stat
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.endpoints import (
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    UNIXServerEndpoint,
    serverFromString,
)
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.python import usage

from runyard.daemon.descriptors import TooFewDescriptors, make_room
from runyard.daemon.exits import die
from runyard.daemon.folders import FolderUnusable, HeldFolder
from runyard.daemon.keys import (
    CONTROLLER_PUBLIC,
    FLEET_SECRET,
    KeyFileError,
    read_public,
    read_secret,
)
from runyard.daemon.options import task_files
from runyard.daemon.signals import stop, stop_on_signals
from runyard.protocols.ids import new_token
from runyard.protocols.tasks import Reason
from runyard.worker.door import Door
from runyard.worker.executor import Executor
from runyard.worker.formats.book import FormatBook
from runyard.worker.formats.folder import FormatsUnusable
from runyard.worker.formats.making import make_checker
from runyard.worker.jobs import JobsFolder
from runyard.worker.link import Credentials, Identity, WorkerFactory
from runyard.worker.loneliness import Loneliness
from runyard.worker.network.egress import MOST_DESCRIPTORS
from runyard.worker.network.gateway import Gateway
from runyard.worker.options import Options
from runyard.worker.sandbox.choosing import Wishes, checks_account, make_sandbox
from runyard.worker.sandbox.instance import InstanceUnusable
from runyard.worker.sandbox.interface import Sandbox
from runyard.worker.sandbox.levels import NONE, TooLittleIsolation, slots_at
from runyard.worker.sandbox.plain import PROGRAM
from runyard.worker.sandbox.runtimes import RuntimeUnusable, task_account
from runyard.worker.service import WorkerService

UNIX_PATH_BYTES = 107
FILES_A_SLOT = 12
"""Descriptors of the worker for a slot: its socket, its job's pipes and input, its group's."""
CANNOT_START = (
    FolderUnusable, InstanceUnusable, KeyFileError, RuntimeUnusable, TooFewDescriptors,
    TooLittleIsolation, usage.UsageError,
)  # fmt: skip


def makeService(options: Options) -> MultiService:
    """Build the worker, or exit saying why there can be none."""
    from twisted.internet import reactor

    try:
        return _build(reactor, options)
    except FormatsUnusable as error:
        die("worker", f"--formats: {error}")
    except CANNOT_START as error:
        die("worker", error)


def _build(reactor: Any, options: Options) -> MultiService:
    if options["local"]:
        _leave_session()
    state = Path(options["state"])
    held = HeldFolder(state, "worker")
    endpoint = _endpoint(reactor, options["listen"])
    account = task_account()
    jobs = JobsFolder(reactor, state)
    wishes = Wishes(
        str(state), options["slots"], options["isolation"], options["min-isolation"],
        tuple(options["python"]), options["task-files"], _task_files(options["task-files"]),
        options["uid-base"], options["preload"], options["network"],
    )  # fmt: skip
    gateway = Gateway(reactor, options["network-allow"], lambda: factory.hosts)
    sandbox = make_sandbox(reactor, jobs, account, wishes, gateway)
    slots = slots_at(sandbox.isolation, wishes.slots)
    _make_room(slots, sandbox)
    checks = checks_account(wishes, sandbox.isolation, account)
    credentials = Credentials(
        read_public(Path(options["controller-key"] or state / "keys" / CONTROLLER_PUBLIC)),
        read_secret(Path(options["fleet-secret"] or state / "keys" / FLEET_SECRET)),
    )
    folder = Path(options["formats"]).absolute() if options["formats"] is not None else None
    book = FormatBook(make_checker(reactor, checks), folder)
    executor = Executor(reactor, sandbox, slots, book)
    leave = partial(stop, reactor)
    lonely = Loneliness(reactor, options["alone-timeout"], leave)
    factory = WorkerFactory(
        reactor,
        executor,
        Identity(options["name"], new_token()),
        credentials,
        leave=leave,
        links_changed=lonely.links_changed if options["local"] else lambda count: None,
    )
    if options["local"]:
        reactor.callWhenRunning(lonely.links_changed, 0)
        reactor.addSystemEventTrigger("before", "shutdown", lonely.stop)
    reactor.addSystemEventTrigger("after", "shutdown", held.release)
    reload = partial(book.reload, reactor, factory.greet_anew) if folder is not None else None
    stop_on_signals(reactor, lambda: executor.stop_all(Reason.RESTART), reload)
    service = MultiService()
    door = Door(reactor, factory, always=bool(options["tls"]))
    WorkerService(
        reactor, endpoint, options["listen"], factory, door, executor, book.checker, jobs,
        options["drain-timeout"],
    ).setServiceParent(service)  # fmt: skip
    return service


def _make_room(slots: int, sandbox: Sandbox) -> None:
    """Have descriptors for every slot, and for all that its task may connect to."""
    if sandbox.isolation != NONE and sandbox.network:
        make_room(
            slots * (FILES_A_SLOT + MOST_DESCRIPTORS),
            f"{slots} slots whose tasks may ask for the network",
            "have fewer --slots, or --network none",
        )
    else:
        make_room(slots * FILES_A_SLOT, f"{slots} slots", "have fewer --slots")


def _leave_session() -> None:
    """A Ctrl-C meant for the scheduler must not end its workers before their drain."""
    if os.getsid(0) != os.getpid():
        # A process that a shell has started leads a group of its own already, and may not.
        with contextlib.suppress(PermissionError):
            os.setsid()


def _task_files(folder: str | None) -> tuple[tuple[str, str], ...]:
    """List the operator's task files; a name that every task has already would fail each one."""
    files = task_files(folder)
    for name, path in files:
        if name == PROGRAM:
            raise usage.UsageError(
                f"--task-files {folder}: {path} must have another name: {PROGRAM} is the task's own"
            )
    return files


def _endpoint(reactor: Any, description: str) -> IStreamServerEndpoint:
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, description)
    except (ValueError, TypeError, IndexError) as error:
        raise usage.UsageError(f"--listen {description}: {error}") from None
    if isinstance(endpoint, UNIXServerEndpoint):
        _clear_socket(os.fspath(endpoint._address))  # noqa: SLF001 (told nowhere else, unescaped)
    elif not isinstance(endpoint, (TCP4ServerEndpoint, TCP6ServerEndpoint)):
        raise usage.UsageError(f"--listen {description}: must be a tcp: or unix: endpoint")
    return endpoint


def _clear_socket(path: str) -> None:
    """Remove the socket file of an earlier start; the state folder's lock says that it is ours."""
    if not path:
        raise usage.UsageError("--listen: a unix socket needs a path")
    if len(os.fsencode(path)) > UNIX_PATH_BYTES:
        raise usage.UsageError(
            f"--listen: a unix socket's path has at most {UNIX_PATH_BYTES} bytes, {path} has more"
        )
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
    except FileNotFoundError:
        pass
