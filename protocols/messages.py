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
from runyard.protocols.limits import ARGS_ENV_BYTES, CODE_BYTES, RANGES, STDIN_BYTES

VERSIONS = (1,)
MOST_ATTEMPTS = 1024
OUTPUT_BYTES = int(RANGES["output_bytes"].maximum)


def _short(most: int) -> Any:
    return check.and_(check.instance_of(str), check.max_len(most))


def _text(most: int) -> Any:
    return field(validator=_short(most))


def _optional_text(most: int) -> Any:
    return field(default=None, validator=check.optional(_short(most)))


def _is_number(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{attribute.name} must be a number")


def _whole(low: int, high: int, **more: Any) -> Any:
    tests = [check.instance_of(int), _is_number, check.ge(low), check.le(high)]
    return field(validator=tests, **more)


def _seconds(most: float, **more: Any) -> Any:
    return field(validator=[_is_number, check.ge(0), check.le(most)], **more)


def _list(member: Any, most: int) -> Any:
    tests = check.and_(check.instance_of(list), check.max_len(most))
    return field(factory=list, validator=check.deep_iterable(check.instance_of(member), tests))


def _flag(default: bool = False) -> Any:
    return field(default=default, validator=check.instance_of(bool))


def _payload(most: int) -> Any:
    return field(default=b"", metadata={"payload": most})


@frozen(kw_only=True)
class Message:
    """A message; each verb is a subclass."""

    verb: ClassVar[str]


@frozen(kw_only=True)
class Hello(Message):
    """Worker, first: who it is and what it offers. `boot` is new at each start of the process."""

    verb: ClassVar[str] = "Hello"
    versions: list[int] = _list(int, 16)
    name: str = _text(128)
    boot: str = _text(64)
    slots: int = _whole(1, MOST_ATTEMPTS)
    isolation: str = _text(32)
    nonce: str = _text(128)
    runtimes: list[str] = _list(str, 64)
    formats: list[str] = _list(str, 64)


@frozen(kw_only=True)
class Welcome(Message):
    """Controller: the version it chose, its heartbeat in seconds, and its proof (Ed25519, hex)."""

    verb: ClassVar[str] = "Welcome"
    version: int = _whole(1, 1_000)
    name: str = _text(128)
    heartbeat: float = _seconds(3600)
    silence: float = _seconds(3600)
    nonce: str = _text(128)
    proof: str = _text(256)


@frozen(kw_only=True)
class Proof(Message):
    """Worker: its own proof (HMAC-SHA256, hex). From here on both sides may work."""

    verb: ClassVar[str] = "Proof"
    proof: str = _text(256)


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
    attempt: str = _text(64)
    language: str = _text(64)
    limits: dict[str, float] = field(validator=check.instance_of(dict))
    lease: float = _seconds(3600)
    beat: int = _whole(0, 1 << 53, default=0)
    code: bytes = _payload(CODE_BYTES)
    stdin: bytes = _payload(STDIN_BYTES)
    args: bytes = _payload(ARGS_ENV_BYTES)
    env: bytes = _payload(ARGS_ENV_BYTES)


@frozen(kw_only=True)
class Refused(Message):
    """Worker: the attempt was not taken and has not started."""

    verb: ClassVar[str] = "Refused"
    attempt: str = _text(64)
    reason: str = _text(512)


@frozen(kw_only=True)
class Started(Message):
    """Worker: the attempt's process runs; its wall limit counts from here."""

    verb: ClassVar[str] = "Started"
    attempt: str = _text(64)


@frozen(kw_only=True)
class Result(Message):
    """Worker: how the attempt ended. Payloads: its stdout and stderr. Kept until its Ack."""

    verb: ClassVar[str] = "Result"
    attempt: str = _text(64)
    outcome: str = _text(32)
    isolation: str = _text(32)
    detail: str = _text(2048)
    reason: str | None = _optional_text(32)
    exit_code: int | None = field(default=None, validator=check.optional(check.instance_of(int)))
    signal: str | None = _optional_text(32)
    stdout_truncated: bool = _flag()
    stderr_truncated: bool = _flag()
    confirmed: bool = _flag(default=True)
    limit: list[Any] = _list(object, 3)
    wall_s: float = _seconds(1e9, default=0.0)
    cpu_s: float = _seconds(1e9, default=0.0)
    max_rss_bytes: int = _whole(0, 1 << 62, default=0)
    stdout: bytes = _payload(OUTPUT_BYTES)
    stderr: bytes = _payload(OUTPUT_BYTES)


@frozen(kw_only=True)
class Ack(Message):
    """Controller: the result is taken (or, with `discarded`, was of no use); forget it."""

    verb: ClassVar[str] = "Ack"
    attempt: str = _text(64)
    discarded: bool = _flag()


@frozen(kw_only=True)
class Cancel(Message):
    """Controller: end the attempt now; a Result says that it has."""

    verb: ClassVar[str] = "Cancel"
    attempt: str = _text(64)
    reason: str = _text(32)


@frozen(kw_only=True)
class Resume(Message):
    """Controller, after the proofs: the attempts that it still waits for here; end any others."""

    verb: ClassVar[str] = "Resume"
    attempts: list[str] = _list(str, MOST_ATTEMPTS)


@frozen(kw_only=True)
class Inventory(Message):
    """Worker, to a Resume: of those, what runs and what has finished; the rest is unknown here.

    The results of the finished ones follow.
    """

    verb: ClassVar[str] = "Inventory"
    running: list[str] = _list(str, MOST_ATTEMPTS)
    finished: list[str] = _list(str, MOST_ATTEMPTS)


@frozen(kw_only=True)
class Drain(Message):
    """Either side: nothing new.

    A worker announces it, a controller asks for it; with `leave` the worker ends once it is idle.
    """

    verb: ClassVar[str] = "Drain"
    leave: bool = _flag()


@frozen(kw_only=True)
class Ping(Message):
    """Either side: say something. Any byte counts as life.

    A worker numbers its Pings. By the number that comes back it knows a moment, by its own clock,
    at which the controller was still there, however late the answer arrives.
    """

    verb: ClassVar[str] = "Ping"
    beat: int = _whole(0, 1 << 53, default=0)


@frozen(kw_only=True)
class Pong(Message):
    """The answer to a Ping, with its number."""

    verb: ClassVar[str] = "Pong"
    beat: int = _whole(0, 1 << 53, default=0)


@frozen(kw_only=True)
class Error(Message):
    """Either side: what was wrong; the connection closes after it."""

    verb: ClassVar[str] = "Error"
    reason: str = _text(512)


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
