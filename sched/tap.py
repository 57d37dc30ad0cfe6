"""The scheduler's composition root: its options, and the tree that they make."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from runyard.daemon.exits import die, fail
from runyard.daemon.folders import FolderUnusable, HeldFolder
from runyard.daemon.keys import (
    CONTROLLER_KEY,
    FLEET_SECRET,
    KeyFileError,
    make_keys,
    read_private,
    read_secret,
)
from runyard.daemon.options import seconds, task_files, whole
from runyard.daemon.signals import stop_on_signals
from runyard.daemon.threads import PoolService
from runyard.protocols.limits import MIB
from runyard.sched.attempts import Timing
from runyard.sched.backlog import Backlog
from runyard.sched.dispatcher import Dispatcher, Settings
from runyard.sched.http import Api
from runyard.sched.link import LinkSettings, WorkerLink
from runyard.sched.local import LocalWorker, command
from runyard.sched.recovery import hold_time
from runyard.sched.roster import Roster, Worker
from runyard.sched.service import SchedulerService, banner
from runyard.sched.tickets import Tickets
from runyard.sched.web import IDLE_S, BoundedSite
from twisted.application.service import IService, MultiService
from twisted.internet.endpoints import UNIXClientEndpoint, clientFromString
from twisted.python import usage

KEEP_TASKS = 10_000
KEEP_BYTES = 256 * MIB
PASSED_ON = ("slots", "task-files")
UNIX_PATH_BYTES = 107


class Options(usage.Options):
    """``twistd scheduler``."""

    synopsis = "[options]"
    longdesc = "Takes programs over HTTP, has workers run them, and answers with what happened."
    optParameters = [
        ["port", None, 5000, "The production port.", whole("port", 0, 65535)],
        ["debug-port", None, 5001, "The debug port.", whole("debug-port", 0, 65535)],
        ["interface", None, "127.0.0.1", "The address that both ports listen on."],
        ["state", None, ".runyard", "The folder that this scheduler keeps its state in."],
        ["local-workers", None, 1, "How many workers to start here when no --worker is named.",
         whole("local-workers", 0, 64)],
        ["slots", None, None, "Slots of each local worker [the machine's cores]."],
        ["task-files", None, None, "A folder whose files tasks find beside their own."],
        ["max-queue", None, 10000, "How many tasks may wait.", whole("max-queue", 1, 10_000_000)],
        ["max-queue-bytes", None, 256 * MIB, "How many bytes waiting tasks may hold.",
         whole("max-queue-bytes", 1, 1 << 40)],
        ["max-wait", None, 300, "Seconds that a waiting call is held.",
         seconds("max-wait", 0.05, 86400)],
        ["start-timeout", None, 300, "Seconds that a task may wait for a worker that fits.",
         seconds("start-timeout", 0.05, 86400 * 7)],
        ["keep", None, 86400, "Seconds that finished tasks are kept.",
         seconds("keep", 0, 86400 * 365)],
        ["heartbeat", None, 5, "Seconds between signs of life on a link.",
         seconds("heartbeat", 0.05, 3600)],
        ["silence", None, 15, "Seconds of silence that end a link.",
         seconds("silence", 0.1, 3600)],
        ["confirm", None, 5, "Seconds in which a cancelled task must be gone.",
         seconds("confirm", 0.05, 3600)],
        ["drain-timeout", None, 30, "Seconds that running tasks get when it is told to stop.",
         seconds("drain-timeout", 0, 3600)],
    ]  # fmt: skip
    optFlags = [
        ["allow-unsandboxed", None, "Let the local workers run tasks with isolation 'none'."],
        ["allow-anonymous", None, "Listen beyond this machine without API keys."],
        ["banner", None, "Tell on standard output where to go, once the first worker is there."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["python"] = []
        self["worker"] = []

    def opt_python(self, value: str) -> None:
        """[NAME=]PATH: an interpreter of the local workers; repeatable."""
        self["python"].append(value)

    def opt_worker(self, value: str) -> None:
        """A worker's address, unix:PATH or tcp:127.0.0.1:PORT; repeatable."""
        self["worker"].append(value)

    def opt_api_keys(self, value: str) -> None:
        """Not supported yet."""
        raise usage.UsageError("--api-keys is not supported yet")

    def postOptions(self) -> None:
        """Check what belongs together."""
        try:
            loopback = ip_address(self["interface"]).is_loopback
        except ValueError:
            raise usage.UsageError(
                f"--interface {self['interface']}: must be an IP address"
            ) from None
        if not loopback and not self["allow-anonymous"]:
            raise usage.UsageError(
                f"--interface {self['interface']}: everybody who reaches it could run code;"
                " say --allow-anonymous if that is what you want"
            )
        if self["silence"] <= self["heartbeat"]:
            raise usage.UsageError("--silence must be longer than --heartbeat")
        task_files(self["task-files"])


def makeService(options: Options) -> MultiService:
    """Build the scheduler, or exit saying why there can be none."""
    from twisted.internet import reactor

    try:
        return _build(reactor, options)
    except (FolderUnusable, KeyFileError, usage.UsageError) as error:
        die("scheduler", error)


def _build(reactor: Any, options: Options) -> MultiService:
    state = Path(options["state"]).absolute()
    held = HeldFolder(state, "scheduler")
    reactor.addSystemEventTrigger("after", "shutdown", held.release)
    make_keys(state / "keys")
    links_of = LinkSettings(
        "scheduler",
        read_private(state / "keys" / CONTROLLER_KEY),
        read_secret(state / "keys" / FLEET_SECRET),
        options["heartbeat"],
        options["silence"],
    )
    tickets = Tickets(time.time, options["keep"], KEEP_TASKS, KEEP_BYTES)
    backlog = Backlog(options["max-queue"], options["max-queue-bytes"])
    roster = Roster()
    settings = Settings(
        options["start-timeout"],
        hold_time(options["heartbeat"], options["silence"]),
        Timing(confirm=options["confirm"]),
    )
    dispatcher = Dispatcher(reactor, tickets, backlog, roster, settings)
    threads = PoolService(2, "http")

    def site(debug: bool) -> BoundedSite:
        api = Api(
            reactor, threads.pool, tickets, backlog, roster, dispatcher,
            debug=debug, max_wait=options["max-wait"], confirm=options["confirm"],
        )  # fmt: skip
        return BoundedSite(api.app.resource(), reactor=reactor, timeout=IDLE_S)

    def link(endpoint: Any, address: str) -> WorkerLink:
        return WorkerLink(reactor, endpoint, address, links_of, roster, dispatcher.worker_dead)

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
        _links(reactor, options, state, link, dispatcher),
        options["drain-timeout"],
    )
    stop_on_signals(reactor, service.hurry)
    if options["banner"]:
        _announce(roster, service)
    parent = MultiService()
    threads.setServiceParent(parent)
    service.setServiceParent(parent)
    return parent


MakeLink = Callable[[Any, str], WorkerLink]


def _links(
    reactor: Any, options: Options, state: Path, link: MakeLink, dispatcher: Dispatcher
) -> list[IService]:
    if options["worker"]:
        return [link(_client(reactor, address), address).service for address in options["worker"]]

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
        dialled = link(UNIXClientEndpoint(reactor, path), f"unix:{path}")
        found.append(LocalWorker(reactor, folder, argv, dialled, dispatcher.worker_dead, hopeless))
    return found


def _worker_options(options: Options) -> list[str]:
    passed = [f"--{name}={options[name]}" for name in PASSED_ON if options[name] is not None]
    passed += [f"--python={value}" for value in options["python"]]
    if options["allow-unsandboxed"]:
        passed.append("--allow-unsandboxed")
    return passed


def _client(reactor: Any, address: str) -> Any:
    kind, _, rest = address.partition(":")
    host = rest.rpartition(":")[0].strip("[]").replace("\\", "")
    try:
        here = kind == "unix" or (kind == "tcp" and ip_address(host).is_loopback)
    except ValueError:
        here = host == "localhost"
    if not here:
        raise usage.UsageError(
            f"--worker {address}: must be unix:PATH or tcp:127.0.0.1:PORT; links that leave this"
            " machine need TLS, which is not supported yet"
        )
    try:
        return clientFromString(reactor, address)
    except (ValueError, TypeError, IndexError) as error:
        raise usage.UsageError(f"--worker {address}: {error}") from None


def _announce(roster: Roster, service: SchedulerService) -> None:
    def first(worker: Worker) -> None:
        roster.joined = lambda worker: None
        banner(service, worker.isolation)

    roster.joined = first
