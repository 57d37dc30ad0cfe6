"""A daemon that cannot do its work says why, in one line, and exits non-zero."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.python.failure import Failure

from runyard.daemon.signals import stop

EXIT_CODE = 1


def die(daemon: str, why: object) -> NoReturn:
    """Write the reason to the real standard error (twistd's is the log) and exit."""
    stream = sys.__stderr__ or sys.stderr
    stream.write(f"{daemon}: {why}\n")
    stream.flush()
    raise SystemExit(EXIT_CODE)


def fail(reactor: Any, daemon: str, why: object) -> None:
    """Stop a running daemon in its usual order, then exit non-zero."""
    stream = sys.__stderr__ or sys.stderr
    stream.write(f"{daemon}: {why}\n")
    stream.flush()
    reactor.addSystemEventTrigger("after", "shutdown", os._exit, EXIT_CODE)
    stop(reactor)


def bound(daemon: str, what: str, listening: Deferred[IListeningPort]) -> IListeningPort:
    """Give the port of a listen that has just been asked for, or exit saying why there is none."""
    ports: list[IListeningPort] = []
    failures: list[Failure] = []
    listening.addCallbacks(ports.append, failures.append)
    if failures:
        die(daemon, f"cannot listen on {what}: {failures[0].getErrorMessage()}")
    return ports[0]
