"""The worker's command line."""

from __future__ import annotations

import os
import re
import socket

from twisted.python import usage

from runyard.daemon.options import OneLineOptions, seconds, whole
from runyard.worker.network.policy import parse_allow
from runyard.worker.sandbox.choosing import NETWORKS, PROXY
from runyard.worker.sandbox.levels import LEVELS, NAMESPACES, NONE, RESTRICTED
from runyard.worker.sandbox.runtimes import parse_option

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


class Options(OneLineOptions):
    """``twistd worker``."""

    daemon = "worker"

    synopsis = "[options]"
    longdesc = "Runs tasks for the schedulers that connect to it and prove themselves."
    optParameters = [
        ["listen", None, "tcp:7070:interface=127.0.0.1", "Where schedulers connect (an endpoint)."],
        ["state", None, ".runyard/worker", "The folder that this worker keeps its state in."],
        ["name", None, None, "Its name in the fleet [the host's name]."],
        ["slots", None, os.cpu_count() or 1, "How many tasks run at a time.",
         whole("slots", 1, 1024)],
        ["min-isolation", None, None, "The least isolation that tasks are run with [namespaces]."],
        ["isolation", None, None, "The isolation to use [the best that this system gives]."],
        ["uid-base", None, None, "As root: the first of the slots' uids [some that nobody has].",
         whole("uid-base", 1000, 2**31 - 2048)],
        ["preload", None, "", "Modules, with commas, that tasks find imported already."],
        ["network", None, PROXY, "What tasks may ask for: none, proxy, or host (isolation none)."],
        ["task-files", None, None, "A folder whose files tasks find beside their own."],
        ["formats", None, None, "A folder of JSON Schemas, each NAME.json a format."],
        ["controller-key", None, None, "The scheduler's public key [keys/ in the state folder]."],
        ["fleet-secret", None, None, "The fleet's secret [keys/ in the state folder]."],
        ["drain-timeout", None, 30, "Seconds that running tasks get when it is told to stop.",
         seconds("drain-timeout", 0, 3600)],
        ["alone-timeout", None, 60, "With --local: seconds without a scheduler until it ends.",
         seconds("alone-timeout", 0.1, 86400)],
    ]  # fmt: skip
    optFlags = [
        ["allow-unsandboxed", None, "Run tasks with isolation 'none' where there is no better."],
        [
            "tls",
            None,
            "TLS also for connections from this machine, for proxies that forward a port.",
        ],
        ["local", None, "It belongs to a scheduler of this machine: it ends when left alone."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["python"] = []
        self["network-allow"] = ()

    def opt_python(self, value: str) -> None:
        """[NAME=]PATH: an interpreter for tasks, as 'python' or 'python:NAME'; repeatable."""
        try:
            parse_option(value)
        except ValueError as error:
            raise usage.UsageError(f"--python: {error}") from None
        self["python"].append(value)

    def opt_network_allow(self, value: str) -> None:
        """HOST:PORT or CIDR[:PORT] that tasks with a way out may reach; repeatable."""
        try:
            self["network-allow"] += (parse_allow(value),)
        except ValueError as error:
            raise usage.UsageError(f"--network-allow: {error}") from None

    def postOptions(self) -> None:
        """Check what belongs together."""
        if self["name"] is None:
            self["name"] = socket.gethostname()
        if not NAME.fullmatch(self["name"]):
            raise usage.UsageError("--name must be letters, digits, '_', '.', '-' (at most 64)")
        self._check_isolation()
        if self["network"] not in NETWORKS:
            raise usage.UsageError(
                f"--network must be one of {', '.join(NETWORKS)}, not {self['network']!r}"
            )
        self["preload"] = tuple(each for each in self["preload"].split(",") if each)
        for each in self["preload"]:
            if not MODULE.fullmatch(each):
                raise usage.UsageError(f"--preload: {each!r} is no module's name")

    def _check_isolation(self) -> None:
        for name in ("min-isolation", "isolation"):
            if self[name] is not None and self[name] not in LEVELS:
                raise usage.UsageError(
                    f"--{name} must be one of {', '.join(LEVELS)}, not {self[name]!r}"
                )
        least = self["min-isolation"]
        if least is None:
            # who names a level means it
            self["min-isolation"] = RESTRICTED if self["isolation"] == RESTRICTED else NAMESPACES
        if self["allow-unsandboxed"]:
            if least not in (None, NONE):
                raise usage.UsageError(
                    f"--allow-unsandboxed makes the least isolation 'none', --min-isolation {least}"
                    " does not: give one of them"
                )
            self["min-isolation"] = NONE
        elif NONE in (self["min-isolation"], self["isolation"]):
            raise usage.UsageError("isolation 'none' is to be had by --allow-unsandboxed alone")
