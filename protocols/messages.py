"""The verbs of the protocol between controller and worker, as values.

A message travels as one JSON object on a line, ``{"verb": NAME, ...}``. Its fields of bytes do not
stand in the JSON: they follow the line raw, and ``payload`` lists their sizes. Encoding and
decoding know nothing of transports. Unknown keys are ignored, unknown verbs are refused.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
from attrs import field, frozen
from attrs import validators as check

from runyard.protocols.errors import ProtocolError
from runyard.protocols.fields import flag, listed, optional_text, payload, seconds, text, whole
from runyard.protocols.limits import ARGS_ENV_BYTES, CODE_BYTES, RANGES, STDIN_BYTES

VERSIONS = (1,)
MOST_ATTEMPTS = 1024
OUTPUT_BYTES = int(RANGES["output_bytes"].maximum)


@frozen(kw_only=True)
class Message:
    """A message; each verb is a subclass."""

    verb: ClassVar[str]


@frozen(kw_only=True)
class Hello(Message):
    """Worker, first: who it is and what it offers. `boot` is new at each start of the process."""

    verb: ClassVar[str] = "Hello"
    versions: list[int] = listed(int, 16)
    name: str = text(128)
    boot: str = text(64)
    slots: int = whole(1, MOST_ATTEMPTS)
    isolation: str = text(32)
    nonce: str = text(128)
    runtimes: list[str] = listed(str, 64)
    formats: list[str] = listed(str, 64)


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
    longer than its lease is refused, since the controller may have given it up.
    Payloads: the code, its stdin, its arguments and its variables (`NAME=VALUE`), each of the last
    two as texts that end with NUL, as execve takes them: JSON would need up to six times the room.
    """

    verb: ClassVar[str] = "Run"
    attempt: str = text(64)
    language: str = text(64)
    limits: dict[str, float] = field(validator=check.instance_of(dict))
    lease: float = seconds(3600)
    beat: int = whole(0, 1 << 53, default=0)
    code: bytes = payload(CODE_BYTES)
    stdin: bytes = payload(STDIN_BYTES)
    args: bytes = payload(ARGS_ENV_BYTES)
    env: bytes = payload(ARGS_ENV_BYTES)


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
class Result(Message):
    """Worker: how the attempt ended. Payloads: its stdout and stderr. Kept until its Ack."""

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
    stdout: bytes = payload(OUTPUT_BYTES)
    stderr: bytes = payload(OUTPUT_BYTES)


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


VERBS: dict[str, type[Message]] = {
    kind.verb: kind
    for kind in (
        Hello, Welcome, Proof, Run, Refused, Started, Result, Ack, Cancel, Resume, Inventory, Drain,
        Ping, Pong, Error,
    )
}  # fmt: skip
FROM_CONTROLLER = frozenset(
    {"Welcome", "Run", "Ack", "Cancel", "Resume", "Drain", "Ping", "Pong", "Error"}
)
FROM_WORKER = frozenset(
    {
        "Hello", "Proof", "Refused", "Started", "Result", "Inventory", "Drain", "Ping", "Pong",
        "Error",
    }
)  # fmt: skip
BEFORE_PROOF = frozenset({"Hello", "Welcome", "Proof", "Error"})


def payload_limits(kind: type[Message]) -> dict[str, int]:
    """Give the most bytes of each payload field of a verb, in their order on the wire."""
    return {
        name: a.metadata["payload"]
        for name, a in attrs.fields_dict(kind).items()
        if "payload" in a.metadata
    }


PAYLOADS: dict[str, dict[str, int]] = {v: payload_limits(kind) for v, kind in VERBS.items()}


def encode(message: Message) -> tuple[dict[str, Any], list[bytes]]:
    """Split a message into its header and its payloads.

    Raises:
        ValueError: a payload is larger than its verb allows (the sender's fault, so it fails here).
    """
    header: dict[str, Any] = {"verb": message.verb}
    payloads = []
    limits = PAYLOADS[message.verb]
    for name in attrs.fields_dict(type(message)):
        value = getattr(message, name)
        if name not in limits:
            header[name] = value
        elif len(value) > limits[name]:
            raise ValueError(f"{message.verb}.{name} holds {len(value)} bytes of {limits[name]}")
        else:
            payloads.append(value)
    return header, payloads


def decode(header: dict[str, Any], payloads: list[bytes]) -> Message:
    """Build the message of a header that has a known verb, with its payloads.

    Raises:
        ProtocolError: a field is missing or not of its form.
    """
    verb = header["verb"]
    kind = VERBS[verb]
    limits = PAYLOADS[verb]
    known = attrs.fields_dict(kind)
    values = {k: v for k, v in header.items() if k in known and k not in limits}
    try:
        return kind(**values, **dict(zip(limits, payloads, strict=True)))
    except (TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"{verb} is malformed: {str(error)[:200]}") from None


def check_sizes(verb: str, sizes: object) -> list[int]:
    """Check the sizes that a header announces before a byte of them is read.

    Raises:
        ProtocolError: they are not this verb's, or too large.
    """
    limits = PAYLOADS[verb]
    if not isinstance(sizes, list) or len(sizes) != len(limits):
        raise ProtocolError(f"{verb} has {len(limits)} payloads, its header says otherwise")
    for size, (name, most) in zip(sizes, limits.items(), strict=True):
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= most:
            raise ProtocolError(f"{verb}.{name} must be 0 to {most} bytes")
    return sizes
