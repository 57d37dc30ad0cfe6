"""The verbs of the protocol between controller and worker, as values.

How they travel is in `verbs.py`: which of them there are, who may send them, encoding and decoding.
"""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import field, frozen
from attrs import validators as check

from runyard.protocols.checked import MOST_BYTES as MOST_CHECKED_BYTES
from runyard.protocols.fields import flag, listed, optional_text, payload, seconds, text, whole
from runyard.protocols.formats import REQUEST_SCHEMA_BYTES
from runyard.protocols.inspected import MOST_BYTES
from runyard.protocols.limits import (
    ARGS_ENV_BYTES,
    CODE_BYTES,
    FILES_BYTES,
    MIB,
    RANGES,
    STDIN_BYTES,
)

MOST_ATTEMPTS = 1024
OUTPUT_BYTES = int(RANGES["output_bytes"].maximum)
CHUNK_BYTES = 64 * 1024
STREAMS = ("stdout", "stderr")
PACKED_BYTES = FILES_BYTES + 1 * MIB
"""Of files with their names (files.py)."""


@frozen(kw_only=True)
class Message:
    """A message; each verb is a subclass."""

    verb: ClassVar[str]


@frozen(kw_only=True)
class Hello(Message):
    """Worker, first: who it is and what it offers. `boot` is new at each start of the process.

    `files` says that it takes tasks with files.
    `network` says that its tasks may have a way to the network.
    """

    verb: ClassVar[str] = "Hello"
    versions: list[int] = listed(int, 16)
    name: str = text(128)
    boot: str = text(64)
    slots: int = whole(1, MOST_ATTEMPTS)
    isolation: str = text(32)
    nonce: str = text(128)
    runtimes: list[str] = listed(str, 64)
    formats: list[str] = listed(str, 64)
    files: bool = flag()
    network: bool = flag()


@frozen(kw_only=True)
class Welcome(Message):
    """Controller: the version it chose, its heartbeat in seconds, and its proof (Ed25519, hex)."""

    verb: ClassVar[str] = "Welcome"
    version: int = whole(1, 1_000)
    name: str = text(128)
    heartbeat: float = seconds(3600)
    silence: float = seconds(3600)
    nonce: str = text(128)
    proof: str = text(256)


@frozen(kw_only=True)
class Proof(Message):
    """Worker: its own proof (HMAC-SHA256, hex). From here on both sides may work."""

    verb: ClassVar[str] = "Proof"
    proof: str = text(256)


@frozen(kw_only=True)
class Run(Message):
    """Controller: start an attempt.

    `lease` is for how many seconds it may run on when the controller is not heard any more, and
    `beat` the last of the worker's Pings that the controller has seen: a Run that was under way for
    longer than its lease is refused, since the controller may have given it up. `format` names what
    its output must be, empty for anything; `schema` is the JSON Schema that came with the request.
    `network` lets it reach the network.
    Payloads: the code, its stdin, its arguments and its variables (`NAME=VALUE`), each of the last
    two as texts that end with NUL, as execve takes them: JSON would need up to six times the room;
    then its files, packed as files.py says. `fresh` asks for an interpreter that starts anew,
    `collect` for the files that it leaves.
    """

    verb: ClassVar[str] = "Run"
    attempt: str = text(64)
    language: str = text(64)
    limits: dict[str, float] = field(validator=check.instance_of(dict))
    lease: float = seconds(3600)
    beat: int = whole(0, 1 << 53, default=0)
    format: str = text(64, default="")
    schema: str = text(REQUEST_SCHEMA_BYTES, default="")
    fresh: bool = flag()
    collect: bool = flag()
    network: bool = flag()
    code: bytes = payload(CODE_BYTES)
    stdin: bytes = payload(STDIN_BYTES)
    args: bytes = payload(ARGS_ENV_BYTES)
    env: bytes = payload(ARGS_ENV_BYTES)
    files: bytes = payload(PACKED_BYTES, later=True)


@frozen(kw_only=True)
class Refused(Message):
    """Worker: the attempt was not taken and has not started."""

    verb: ClassVar[str] = "Refused"
    attempt: str = text(64)
    reason: str = text(512)


@frozen(kw_only=True)
class Started(Message):
    """Worker: the attempt's process runs; its wall limit counts from here."""

    verb: ClassVar[str] = "Started"
    attempt: str = text(64)


@frozen(kw_only=True)
class Watch(Message):
    """Controller, after Started: send what the attempt writes, each stream from this offset on."""

    verb: ClassVar[str] = "Watch"
    attempt: str = text(64)
    stdout: int = whole(0, OUTPUT_BYTES, default=0)
    stderr: int = whole(0, OUTPUT_BYTES, default=0)


@frozen(kw_only=True)
class Unwatch(Message):
    """Controller: send no more of what the attempt writes."""

    verb: ClassVar[str] = "Unwatch"
    attempt: str = text(64)


@frozen(kw_only=True)
class Output(Message):
    """Worker: what a watched attempt wrote to a stream, from an offset on. None after its Result.

    Payload: the bytes.
    """

    verb: ClassVar[str] = "Output"
    attempt: str = text(64)
    stream: str = field(validator=check.in_(STREAMS))
    offset: int = whole(0, OUTPUT_BYTES)
    data: bytes = payload(CHUNK_BYTES)


@frozen(kw_only=True)
class Result(Message):
    """Worker: how the attempt ended. Kept until its Ack.

    Payloads: its stdout and stderr; then, where its Run asked for them, the files that it left.
    """

    verb: ClassVar[str] = "Result"
    attempt: str = text(64)
    outcome: str = text(32)
    isolation: str = text(32)
    detail: str = text(2048)
    reason: str | None = optional_text(32)
    exit_code: int | None = field(default=None, validator=check.optional(check.instance_of(int)))
    signal: str | None = optional_text(32)
    stdout_truncated: bool = flag()
    stderr_truncated: bool = flag()
    confirmed: bool = flag(default=True)
    limit: list[Any] = listed(object, 3)
    wall_s: float = seconds(1e9, default=0.0)
    cpu_s: float = seconds(1e9, default=0.0)
    max_rss_bytes: int = whole(0, 1 << 62, default=0)
    error: str = text(MOST_BYTES, default="")
    format: str = text(MOST_CHECKED_BYTES, default="")
    stdout: bytes = payload(OUTPUT_BYTES)
    stderr: bytes = payload(OUTPUT_BYTES)
    files: bytes = payload(PACKED_BYTES, later=True)


@frozen(kw_only=True)
class Ack(Message):
    """Controller: the result is taken (or, with `discarded`, was of no use); forget it."""

    verb: ClassVar[str] = "Ack"
    attempt: str = text(64)
    discarded: bool = flag()


@frozen(kw_only=True)
class Cancel(Message):
    """Controller: end the attempt now; a Result says that it has."""

    verb: ClassVar[str] = "Cancel"
    attempt: str = text(64)
    reason: str = text(32)


@frozen(kw_only=True)
class Resume(Message):
    """Controller, after the proofs: the attempts that it still waits for here; end any others."""

    verb: ClassVar[str] = "Resume"
    attempts: list[str] = listed(str, MOST_ATTEMPTS)


@frozen(kw_only=True)
class Inventory(Message):
    """Worker, to a Resume: of those, what runs and what has finished; the rest is unknown here.

    The results of the finished ones follow.
    """

    verb: ClassVar[str] = "Inventory"
    running: list[str] = listed(str, MOST_ATTEMPTS)
    finished: list[str] = listed(str, MOST_ATTEMPTS)


@frozen(kw_only=True)
class Drain(Message):
    """Either side: nothing new.

    A worker announces it, a controller asks for it; with `leave` the worker ends once it is idle.
    """

    verb: ClassVar[str] = "Drain"
    leave: bool = flag()


@frozen(kw_only=True)
class Ping(Message):
    """Either side: say something. Any byte counts as life.

    A worker numbers its Pings. By the number that comes back it knows a moment, by its own clock,
    at which the controller was still there, however late the answer arrives.
    """

    verb: ClassVar[str] = "Ping"
    beat: int = whole(0, 1 << 53, default=0)


@frozen(kw_only=True)
class Pong(Message):
    """The answer to a Ping, with its number."""

    verb: ClassVar[str] = "Pong"
    beat: int = whole(0, 1 << 53, default=0)


@frozen(kw_only=True)
class Error(Message):
    """Either side: what was wrong; the connection closes after it."""

    verb: ClassVar[str] = "Error"
    reason: str = text(512)
