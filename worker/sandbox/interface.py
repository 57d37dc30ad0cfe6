"""The seam of the sandbox: what the executor asks, what it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import field, frozen
from twisted.internet.defer import Deferred

from runyard.protocols.files import NONE, Files
from runyard.protocols.formats import Format
from runyard.protocols.limits import Limits


@frozen
class Job:
    """What a slot runs: a program for a runtime, its input, its limits.

    Attributes:
        format: What its output must be; the executor sees to that.
        lease: Seconds after which the slot itself ends it, unless its lease is renewed.
        files: What is put beside its program, packed (protocols/files.py).
        fresh: Whether its interpreter starts anew for it.
        network: Whether it may reach the network.
    """

    attempt: str
    language: str
    code: bytes
    stdin: bytes
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    limits: Limits
    lease: float
    format: Format | None = None
    files: bytes = field(default=b"", repr=False)
    fresh: bool = False
    network: bool = False


@frozen
class Ending:
    """What the slot saw of a job's end. It comes when every process of it is gone, or will not go.

    Attributes:
        status: The wait status of the job's main process, as its parent got it.
        full: The stream that passed the cap ("stdout", "stderr"), or None.
        measured: Bytes that the full stream had when it was stopped.
        cpu_s: Processor time of all its processes together.
        main_cpu_s: That of its main process alone, which its limit is for; None where it is not
            known, and so proves nothing.
        max_rss_bytes: The most memory that one of its processes had.
        late: Whether the slot itself ended it at the wall limit.
        forsaken: Whether the slot itself ended it because its lease was over.
        told: What its process told of its end, if it did; the process could forge it.
        oom_kills: How many of its processes the kernel killed at the limit of their memory.
        over_cpu: Whether it was ended for the processor time of all its processes together.
        disk_full: Whether there was no room left for its files at its end.
        names_full: How many files and folders it could have, where no more were left at its end.
        pids_refused: How many processes and threads it was refused at the limit of their number.
        peak_bytes: The most memory that all of it had at a time, files in memory counted; None
            where nothing measures that.
        files: What it left in its folder; nothing where processes of it are left too.
        clean: Whether every process of it was seen to be gone; False where some would not go.
    """

    status: int
    stdout: bytes
    stderr: bytes
    stdout_truncated: bool
    stderr_truncated: bool
    full: str | None
    measured: int
    wall_s: float
    cpu_s: float
    max_rss_bytes: int
    late: bool = False
    forsaken: bool = False
    clean: bool = True
    told: bytes = b""
    oom_kills: int = 0
    pids_refused: int = 0
    over_cpu: bool = False
    disk_full: bool = False
    names_full: int = 0
    peak_bytes: int | None = None
    main_cpu_s: float | None = None
    files: Files = NONE


class SandboxError(Exception):
    """A job could not be run, by no fault of its own; the text says why."""


class RunningJob(Protocol):
    """A job in a slot."""

    @property
    def done(self) -> Deferred[Ending]:
        """Fires with the Ending, or fails with SandboxError."""

    def kill(self) -> None:
        """End every process of the job now."""

    def renew(self, seconds: float) -> None:
        """Let it run on for so long from now, if nothing else ends it."""

    def watch(self, grown: Callable[[], None] | None) -> None:
        """Have `grown` called when there is more output, until the end; None stops that."""

    def output(self, stream: str, offset: int, most: int) -> tuple[bytes, int]:
        """Give at most so many bytes of "stdout" or "stderr" from an offset on.

        Beside them: how many bytes of the stream are kept in all. After the end: none.
        """

    def trace(self) -> None:
        """Have its process tell where it is, shortly before it is killed."""


class Sandbox(Protocol):
    """Runs one job a slot.

    Attributes:
        isolation: The level that was proven at start: full, namespaces, restricted or none.
        runtimes: The names of the languages that it can run.
        network: Whether jobs may ask for the network.
    """

    isolation: str
    runtimes: tuple[str, ...]
    network: bool

    def start(self) -> None:
        """Make the slots ready."""

    def stop(self) -> Deferred[None]:
        """End every job and every helper process; fires when they are gone."""

    def run(self, job: Job, started: Callable[[], None]) -> RunningJob:
        """Start a job in a free slot; `started` is called when its process runs.

        Raises:
            SandboxError: no slot is free.
        """
