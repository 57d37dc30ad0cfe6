"""The task, what came of it, and the words for both: frozen values that both daemons share."""

from __future__ import annotations

from enum import StrEnum
from itertools import chain

from attrs import evolve, field, frozen

from runyard.protocols.checked import Checked
from runyard.protocols.files import NONE, File, Files
from runyard.protocols.formats import Format
from runyard.protocols.inspected import Record
from runyard.protocols.limits import Limits


class State(StrEnum):
    """Where a task is."""

    PENDING = "pending"
    RUNNING = "running"
    FINISH = "finish"


class Outcome(StrEnum):
    """How a finished task ended."""

    SUCCESS = "success"
    RUNTIME_ERROR = "runtime_error"
    FORMAT_ERROR = "format_error"
    CANCELLED = "cancelled"
    NETWORK_FAIL = "network_fail"
    INTERNAL_FAIL = "internal_fail"


OURS = frozenset({Outcome.NETWORK_FAIL, Outcome.INTERNAL_FAIL})
"""The outcomes that are no doing of the task: HTTP answers them with 502."""


class Reason(StrEnum):
    """What refines an outcome. Only what was proven is said."""

    EXCEPTION = "exception"
    SYNTAX_ERROR = "syntax_error"
    EXIT_CODE = "exit_code"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    OUTPUT_LIMIT = "output_limit"
    CPU_LIMIT = "cpu_limit"
    MEMORY_LIMIT = "memory_limit"
    PROCESS_LIMIT = "process_limit"
    DISK_LIMIT = "disk_limit"
    NO_WORKER = "no_worker"
    SANDBOX = "sandbox"
    ASKED = "asked"
    HUNG_UP = "hung_up"
    RESTART = "restart"
    LEASE = "lease"
    POISON = "poison"


STOP_REASONS = frozenset({Reason.TIMEOUT, Reason.ASKED, Reason.HUNG_UP, Reason.RESTART})
"""Why a controller may stop a running attempt."""


RETRIABLE = frozenset({
    Outcome.RUNTIME_ERROR, Outcome.FORMAT_ERROR, Reason.EXCEPTION, Reason.EXIT_CODE, Reason.SIGNAL,
    Reason.TIMEOUT, Reason.OUTPUT_LIMIT, Reason.CPU_LIMIT, Reason.MEMORY_LIMIT,
    Reason.PROCESS_LIMIT, Reason.DISK_LIMIT,
})  # fmt: skip
"""What a task may ask to be tried again after: ends that are its own doing."""


@frozen
class RetryPolicy:
    """What a task asked to be tried again after: apart from attempts that our own faults cost.

    Attributes:
        most: How often at most.
        on: Outcomes and reasons, of RETRIABLE.
        backoff: Seconds until the first time, doubled each time.
    """

    most: int
    on: frozenset[str]
    backoff: float = 1.0


TEXT_BYTES = 64
"""What Python needs for a short text beside its characters."""


@frozen
class Task:
    """What a user asked for.

    Attributes:
        code: The program's bytes, as they came.
        language: The runtime's name, such as ``python`` or ``python:crawler``.
        args: Arguments after the program's name.
        env: Variables of its environment, beside the fixed few.
        attempts: How often it may be started when its worker fails; 1 is at most once.
        priority: -100 to 100; higher goes first.
        keep_on_disconnect: Whether it runs on when nobody waits for it any more.
        retry: What of its own doing it is tried again after; None for nothing.
        format: What its output must be; None for anything.
        files: What is put beside its program.
        fresh: Whether its interpreter starts anew for it.
        network: Whether it may reach the network, as far as its worker lets it.
    """

    id: str
    code: bytes
    language: str = "python"
    stdin: bytes = b""
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    limits: Limits = field(factory=Limits)
    attempts: int = 3
    priority: int = 0
    name: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    keep_on_disconnect: bool = False
    retry: RetryPolicy | None = None
    format: Format | None = None
    files: tuple[File, ...] = ()
    fresh: bool = False
    network: bool = False

    def kept(self) -> Task:
        """Give the task as one that runs on when nobody waits for it any more."""
        return evolve(self, keep_on_disconnect=True)

    @property
    def size(self) -> int:
        """What it holds in bytes, as the backlog counts it: all that its caller may make long."""
        texts = [*self.args, *chain(*self.env, *self.labels), *(each.name for each in self.files)]
        if self.name is not None:
            texts.append(self.name)
        held = len(self.code) + len(self.stdin) + (self.format.size if self.format else 0)
        held += sum(each.size for each in self.files)
        return held + sum(len(t.encode()) + TEXT_BYTES for t in texts)


@frozen
class LimitHit:
    """The limit that ended a task: what was allowed, what was measured (same unit)."""

    name: str
    allowed: float
    measured: float


@frozen
class Usage:
    """What an attempt used: seconds of clock and of processor, bytes of its largest process."""

    wall_s: float
    cpu_s: float
    max_rss_bytes: int


@frozen
class Ended:
    """How an attempt, and with it its task, ended.

    Attributes:
        exit_code: None when a signal ended it or when it never ran.
        signal: The signal's name, such as ``SIGSEGV``.
        isolation: The level that was really in force, None when it never ran.
        confirmed: False where the worker did not say in time that the processes are gone.
        format: What the check of its output found; None where there was none.
        error: What its process told of the exception that ended it, or where it was at a timeout.
        files: What it left in its folder.
    """

    outcome: Outcome
    reason: Reason | None = None
    detail: str = ""
    exit_code: int | None = None
    signal: str | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    limit: LimitHit | None = None
    usage: Usage | None = None
    isolation: str | None = None
    confirmed: bool = True
    error: Record | None = None
    format: Checked | None = None
    files: Files = NONE


def cancelled(reason: Reason, detail: str = "", *, confirmed: bool = True) -> Ended:
    """Give the end of a task that somebody stopped before its result."""
    return Ended(Outcome.CANCELLED, reason, detail, confirmed=confirmed)
