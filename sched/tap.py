"""The scheduler's composition root: its options, and the tree that they make."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.python import usage
from twisted.python.threadpool import ThreadPool

from runyard.daemon.descriptors import TooFewDescriptors, make_room
from runyard.daemon.exits import die, fail
from runyard.daemon.folders import FolderUnusable, HeldFolder, instance
from runyard.daemon.keys import (
    CONTROLLER_KEY,
    FLEET_SECRET,
    KeyFileError,
    make_keys,
    read_private,
    read_secret,
)
from runyard.daemon.signals import stop_on_signals
from runyard.protocols.limits import MIB
from runyard.sched.addresses import UNIX_PATH_BYTES, Place, TcpPlace, UnixPlace, dialled
from runyard.sched.attempts import Timing
from runyard.sched.backlog import Backlog
from runyard.sched.browser import BrowserRules
from runyard.sched.dispatcher import Dispatcher, Settings
from runyard.sched.gate import browser_gate, in_turn, workers_gate
from runyard.sched.http import Api
from runyard.sched.known import KnownWorkers
from runyard.sched.link import LinkSettings, WorkerLink
from runyard.sched.local import LocalWorker, command
from runyard.sched.names import NamedWorkers
from runyard.sched.options import Options
from runyard.sched.roster import Roster, Worker
from runyard.sched.service import SchedulerService, banner
from runyard.sched.session import Leases
from runyard.sched.tickets import Tickets
from runyard.sched.web import BoundedSite, WebLimits

KEEP_TASKS = 10_000
KEEP_BYTES = 256 * MIB


def makeService(options: Options) -> MultiService:
    """Build the scheduler, or exit saying why there can be none."""
    from twisted.internet import reactor

    try:
        return _build(reactor, options)
    except (FolderUnusable, KeyFileError, TooFewDescriptors, usage.UsageError) as error:
        die("scheduler", error)


def _build(reactor: Any, options: Options) -> MultiService:
    wanted = "--max-connections on two ports"
    make_room(2 * options["max-connections"], wanted, "allow fewer connections")
    state = Path(options["state"]).absolute()
    held = HeldFolder(state, "scheduler")
    reactor.addSystemEventTrigger("after", "shutdown", held.release)
    make_keys(state / "keys")
    links_of = LinkSettings(
        f"scheduler-{instance(held)}",
        read_private(state / "keys" / CONTROLLER_KEY),
        read_secret(state / "keys" / FLEET_SECRET),
        options["heartbeat"],
        options["silence"],
        Leases(options["lease"], options["durable-lease"]),
    )
    known = KnownWorkers(reactor, links_of.leases)
    tickets = Tickets(time.time, options["keep"], KEEP_TASKS, KEEP_BYTES)
    backlog = Backlog(options["max-queue"], options["max-queue-bytes"])
    roster = Roster(reactor)
    settings = Settings(
        options["start-timeout"],
        Timing(confirm=options["confirm"]),
    )
    dispatcher = Dispatcher(reactor, tickets, backlog, roster, settings)
    pool = ThreadPool(minthreads=0, maxthreads=2, name="http")
    origins, names = frozenset(options["allow-origin"]), frozenset(options["host-name"])
    gate = in_turn(workers_gate(roster.is_host), browser_gate(BrowserRules(origins, names)))

    def site(debug: bool) -> BoundedSite:
        api = Api(
            reactor, pool, tickets, backlog, roster, dispatcher,
            debug=debug, max_wait=options["max-wait"], confirm=options["confirm"],
            limits=options["limit"], network_default=bool(options["network-default"]),
        )  # fmt: skip
        return BoundedSite(api.app.resource(), reactor, _web_limits(options), gate)

    def link(place: Place) -> WorkerLink:
        return WorkerLink(reactor, dialled(reactor, place), str(place), links_of, roster, known)

    service = SchedulerService(
        reactor,
        options["interface"],
        [
            ("production", options["port"], site(False)),
            ("debug", options["debug-port"], site(True)),
        ],
        dispatcher,
        tickets,
        roster,
        _links(reactor, options, state, link, links_of, roster),
        pool,
        options["drain-timeout"],
    )
    stop_on_signals(reactor, service.hurry, service.reload if options["formats"] else None)
    if options["banner"]:
        _announce(roster, service)
    parent = MultiService()
    service.setServiceParent(parent)
    return parent


def _web_limits(options: Options) -> WebLimits:
    return WebLimits(
        request_line=options["max-request-line"],
        headers=options["max-headers"],
        body=options["max-body"],
        connections=options["max-connections"],
        idle=options["idle-timeout"],
        head=options["head-timeout"],
    )


MakeLink = Callable[[Place], WorkerLink]


def _links(
    reactor: Any,
    options: Options,
    state: Path,
    link: MakeLink,
    settings: LinkSettings,
    roster: Roster,
) -> list[IService]:
    patience = settings.leases.hold(settings.leases.durable)

    def dialler(place: Place) -> IService:
        if isinstance(place, TcpPlace) and place.named:
            names, away = reactor.nameResolver, roster.unreachable
            return NamedWorkers(reactor, names, place, link, patience, away)
        return link(place).service

    if options["worker"]:
        return [dialler(place) for place in options["worker"]]
    return _local_workers(reactor, options, state, link)


def _local_workers(reactor: Any, options: Options, state: Path, link: MakeLink) -> list[IService]:
    def hopeless(why: str) -> None:
        fail(reactor, "scheduler", why)

    found: list[IService] = []
    for number in range(1, options["local-workers"] + 1):
        name = f"local-{number}"
        folder = state / "workers" / name
        path = str(folder / "socket")
        if len(path.encode()) > UNIX_PATH_BYTES:
            raise usage.UsageError(
                f"--state: {path} is too long for a unix socket ({UNIX_PATH_BYTES} bytes)"
            )
        argv = command(state, name, _worker_options(options))
        found.append(LocalWorker(reactor, folder, argv, link(UnixPlace(path)), hopeless))
    return found


def _worker_options(options: Options) -> list[str]:
    passed = [f"--slots={options['slots']}"] if options["slots"] is not None else []
    if options["task-files"] is not None:
        passed.append(f"--task-files={Path(options['task-files']).absolute()}")
    if options["formats"] is not None:
        passed.append(f"--formats={Path(options['formats']).absolute()}")
    passed += [
        f"--{name}={options[name]}"
        for name in ("min-isolation", "isolation", "preload", "network")
        if options[name] is not None
    ]
    passed += [f"--python={value}" for value in options["python"]]
    passed += [f"--network-allow={rule}" for rule in options["network-allow"]]
    if options["allow-unsandboxed"]:
        passed.append("--allow-unsandboxed")
    return passed


def _announce(roster: Roster, service: SchedulerService) -> None:
    def first(worker: Worker) -> None:
        roster.joined = lambda worker: None
        banner(service, worker.isolation)

    roster.joined = first
