"""The scheduler's command line."""

from __future__ import annotations

from ipaddress import ip_address

from twisted.python import usage

from runyard.daemon.options import OneLineOptions, seconds, task_files, whole
from runyard.protocols.limits import KIB, MIB
from runyard.sched.addresses import AddressError, parse
from runyard.sched.limits import LimitPolicy


class Options(OneLineOptions):
    """``twistd scheduler``."""

    daemon = "scheduler"

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
        ["min-isolation", None, None, "The least isolation of the local workers' tasks."],
        ["isolation", None, None, "Their isolation [the best that this system gives]."],
        ["preload", None, None, "Modules, with commas, that tasks find imported already."],
        ["network", None, None, "What their tasks may ask for: proxy or none [proxy]."],
        ["task-files", None, None, "A folder whose files tasks find beside their own."],
        ["formats", None, None, "A folder of JSON Schemas, each NAME.json a format."],
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
        ["max-request-line", None, 256 * KIB, "Bytes of a request line.",
         whole("max-request-line", 1024, 16 * MIB)],
        ["max-headers", None, 64 * KIB, "Bytes of all headers of a request.",
         whole("max-headers", 1024, 16 * MIB)],
        ["max-body", None, 32 * MIB, "Bytes of a request's body.",
         whole("max-body", 1024, 1024 * MIB)],
        ["max-connections", None, 1000, "How many connections each server takes.",
         whole("max-connections", 1, 1_000_000)],
        ["idle-timeout", None, 60, "Seconds that a kept connection may be idle.",
         seconds("idle-timeout", 1, 86400)],
        ["head-timeout", None, 20, "Seconds in which a request's headers must have come.",
         seconds("head-timeout", 0.1, 3600)],
        ["lease", None, 10, "Seconds that a task whose caller waits may run on without a link.",
         seconds("lease", 0.1, 3600)],
        ["durable-lease", None, 60, "The same for tasks that go on without a caller.",
         seconds("durable-lease", 0.1, 3600)],
        ["confirm", None, 5, "Seconds in which a cancelled task must be gone.",
         seconds("confirm", 0.05, 3600)],
        ["drain-timeout", None, 30, "Seconds that running tasks get when it is told to stop.",
         seconds("drain-timeout", 0, 3600)],
    ]  # fmt: skip
    optFlags = [
        ["allow-unsandboxed", None, "Let the local workers run tasks with isolation 'none'."],
        ["network-default", None, "Tasks that do not say get the network."],
        ["allow-anonymous", None, "Listen beyond this machine without API keys."],
        ["banner", None, "Tell on standard output where to go, once the first worker is there."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["python"] = []
        self["network-allow"] = []
        self["worker"] = []
        self["host-name"] = []
        self["allow-origin"] = []
        self["limit"] = LimitPolicy()

    def opt_host_name(self, value: str) -> None:
        """A name under which this server is reached, beside localhost; repeatable."""
        self["host-name"].append(value.lower())

    def opt_allow_origin(self, value: str) -> None:
        """An origin whose pages may call this server, as https://judge.example; repeatable."""
        scheme, found, host = value.partition("://")
        if scheme not in ("http", "https") or not found or not host or "/" in host:
            raise usage.UsageError(f"--allow-origin {value}: must be like https://judge.example")
        self["allow-origin"].append(value.lower())

    def opt_limit(self, value: str) -> None:
        """NAME=DEFAULT[:MAXIMUM]: a limit of tasks, as wall_s=5:60; repeatable."""
        try:
            self["limit"] = self["limit"].with_option(value)
        except ValueError as error:
            raise usage.UsageError(f"--limit {error}") from None

    def opt_python(self, value: str) -> None:
        """[NAME=]PATH: an interpreter of the local workers; repeatable."""
        self["python"].append(value)

    def opt_network_allow(self, value: str) -> None:
        """HOST:PORT or CIDR[:PORT] that tasks of the local workers may reach; repeatable."""
        self["network-allow"].append(value)

    def opt_worker(self, value: str) -> None:
        """A worker's address: unix:PATH, tcp:HOST:PORT or tls:HOST:PORT; repeatable."""
        try:
            place = parse(value)
        except AddressError as error:
            raise usage.UsageError(f"--worker {value}: {error}") from None
        if place in self["worker"]:
            raise usage.UsageError(f"--worker {value}: it is given twice")
        self["worker"].append(place)

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
