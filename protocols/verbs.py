"""The closed table of verbs: who may send which, and how a message becomes bytes and comes back.

A message travels as one JSON object on a line, ``{"verb": NAME, ...}``. Its fields of bytes do not
stand in the JSON: they follow the line raw, and ``payload`` lists their sizes. Encoding and
decoding know nothing of transports. Unknown keys are ignored, unknown verbs are refused.
"""

from __future__ import annotations

from typing import Any

import attrs

from runyard.protocols.errors import ProtocolError
from runyard.protocols.messages import (
    Ack,
    Cancel,
    Drain,
    Error,
    Hello,
    Inventory,
    Message,
    Output,
    Ping,
    Pong,
    Proof,
    Refused,
    Result,
    Resume,
    Run,
    Started,
    Unwatch,
    Watch,
    Welcome,
)

VERSIONS = (2, 1)
"""What this side speaks, the best first: its own version and the one before."""

VERBS: dict[str, type[Message]] = {
    kind.verb: kind
    for kind in (
        Hello, Welcome, Proof, Run, Refused, Started, Result, Ack, Cancel, Resume, Inventory, Drain,
        Ping, Pong, Error, Watch, Unwatch, Output,
    )
}  # fmt: skip
FROM_CONTROLLER = frozenset(
    {
        "Welcome", "Run", "Ack", "Cancel", "Resume", "Drain", "Ping", "Pong", "Error", "Watch",
        "Unwatch",
    }
)  # fmt: skip
FROM_WORKER = frozenset(
    {
        "Hello", "Proof", "Refused", "Started", "Result", "Inventory", "Drain", "Ping", "Pong",
        "Error", "Output",
    }
)  # fmt: skip
BEFORE_PROOF = frozenset({"Hello", "Welcome", "Proof", "Error"})
SINCE = {"Watch": 2, "Unwatch": 2, "Output": 2}
"""The version with which a verb came, where that is not the first."""


def known_in(version: int, verb: str) -> bool:
    """Say whether a version of the protocol has a verb."""
    return verb in VERBS and SINCE.get(verb, 1) <= version


def common_version(versions: list[int]) -> int:
    """Choose the highest version that a peer speaks and we speak too.

    Raises:
        ProtocolError: there is none.
    """
    common = set(versions) & set(VERSIONS)
    if not common:
        raise ProtocolError(
            f"no common version: the peer speaks {sorted(versions)}, this side {sorted(VERSIONS)}"
        )
    return max(common)


def payload_limits(kind: type[Message]) -> dict[str, int]:
    """Give the most bytes of each payload field of a verb, in their order on the wire."""
    return {
        name: a.metadata["payload"]
        for name, a in attrs.fields_dict(kind).items()
        if "payload" in a.metadata
    }


PAYLOADS: dict[str, dict[str, int]] = {v: payload_limits(kind) for v, kind in VERBS.items()}
FEWEST: dict[str, int] = {
    verb: sum(not attrs.fields_dict(VERBS[verb])[name].metadata["later"] for name in limits)
    for verb, limits in PAYLOADS.items()
}
"""How many payloads of a verb always travel; those that came later may be missing."""


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
    while len(payloads) > FEWEST[message.verb] and not payloads[-1]:
        payloads.pop()
    return header, payloads


def decode(header: dict[str, Any], payloads: list[bytes]) -> Message:
    """Build the message of a header that has a known verb, with its payloads.

    Raises:
        ProtocolError: a field is missing or not of its form.
    """
    verb = header["verb"]
    kind = VERBS[verb]
    limits = PAYLOADS[verb]
    if not FEWEST[verb] <= len(payloads) <= len(limits):
        raise ProtocolError(f"{verb} has {len(limits)} payloads")
    known = attrs.fields_dict(kind)
    values = {k: v for k, v in header.items() if k in known and k not in limits}
    try:
        return kind(**values, **dict(zip(limits, payloads, strict=False)))
    except (TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"{verb} is malformed: {str(error)[:200]}") from None


def check_sizes(verb: str, sizes: object) -> list[int]:
    """Check the sizes that a header announces before a byte of them is read.

    Raises:
        ProtocolError: they are not this verb's, or too large.
    """
    limits = PAYLOADS[verb]
    if not isinstance(sizes, list) or not FEWEST[verb] <= len(sizes) <= len(limits):
        raise ProtocolError(f"{verb} has {len(limits)} payloads, its header says otherwise")
    for size, (name, most) in zip(sizes, limits.items(), strict=False):
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= most:
            raise ProtocolError(f"{verb}.{name} must be 0 to {most} bytes")
    return sizes
