"""The checking child's loop: requests in, verdicts out. Runs in the child alone.

A packet ``{"name", "schema", "output", "what"}`` comes with one descriptor, whose file holds the
schema's bytes and behind them the output's; `schema` and `output` are their lengths (a schema of -1
is none), `what` is ``check`` or ``check_schema``. The answer is one packet: the verdict, and
whether it is this process's `last`.
"""

from __future__ import annotations

import array
import gc
import json
import os
import resource
import socket
import sys
from typing import Any

from referencing.exceptions import Unresolvable

from runyard.protocols.formats import SCHEMA, Format
from runyard.protocols.schemas import DIALECTS
from runyard.worker.formats.checks import CHECKS, check, check_schema
from runyard.worker.formats.confine import Bounds, allow_cpu, confine
from runyard.worker.formats.verdicts import Verdict, failure, to_wire
from runyard.worker.formats.withhold import withhold

MAX_PACKET = 4 * 1024
MOST_CHECKS = 500
LARGE_BYTES = 200 * 1024 * 1024
"""A child that holds this after a check is replaced: Python does not give all memory back."""

MOST_FRAMES = 6000
PIECE = 1024 * 1024


def serve(channel: socket.socket, bounds: Bounds, parent: int) -> None:
    """Answer requests, then end: after many, after a large one, or when the worker is gone."""
    sys.setrecursionlimit(MOST_FRAMES)
    warm_up()
    memory = os.open("/proc/self/statm", os.O_RDONLY)  # there are no files soon
    alone = confine(bounds, parent)
    missing = withhold()
    gc.collect()
    gc.freeze()
    gc.disable()  # millions of new values are no garbage: looking for it takes longer than they do
    network = not alone and "seccomp" in missing
    channel.send(json.dumps({"ready": True, "network": network, "missing": missing}).encode())
    for number in range(1, MOST_CHECKS + 1):
        request = receive(channel)
        if request is None:
            return
        allow_cpu(bounds.cpu_s)
        verdict = answer(*request)
        last = number == MOST_CHECKS or resident(memory) > LARGE_BYTES
        channel.send(json.dumps({**to_wire(verdict), "last": last}).encode())
        if last:
            return
        gc.collect()


def receive(channel: socket.socket) -> tuple[dict[str, Any], int] | None:
    """Read one request with its descriptor; None when the worker is gone."""
    room = socket.CMSG_SPACE(array.array("i").itemsize)
    data, ancillary, _, _ = channel.recvmsg(MAX_PACKET, room, socket.MSG_CMSG_CLOEXEC)
    if not data:
        return None
    ((_, _, payload),) = ancillary
    return json.loads(data), array.array("i", payload)[0]


def answer(request: dict[str, Any], descriptor: int) -> Verdict:
    """Check what was asked; whatever goes wrong is a verdict too."""
    name = request["name"]
    try:
        size = request["schema"]
        schema = read(descriptor, max(0, size), 0).decode() if size >= 0 else None
        wanted = Format(name, schema)
        if request["what"] == "check_schema":
            return check_schema(wanted)
        return check(wanted, read(descriptor, request["output"], max(0, size)))
    except Unresolvable as error:
        return failure(name, f"a reference leads nowhere, and nothing is ever fetched: {error}")
    except MemoryError:
        return failure(name, "the check needs more memory than it is given")
    except RecursionError:
        return failure(name, "the schema and the output nest too deeply, or without end")
    except Exception as error:  # noqa: BLE001 (hostile schemas find faults of the library's own)
        return failure(name, f"the check broke: {type(error).__name__}: {error}")
    finally:
        os.close(descriptor)


def read(descriptor: int, size: int, at: int) -> bytes:
    """Read a part of the file. Raises EOFError where it is shorter."""
    data = os.pread(descriptor, size, at)
    while len(data) < size:
        piece = os.pread(descriptor, min(PIECE, size - len(data)), at + len(data))
        if not piece:
            raise EOFError("the output is shorter than was said")
        data += piece
    return data


def resident(memory: int) -> int:
    """Give the bytes of memory that this process has now; getrusage would count the worker's.

    `memory` is an open ``/proc/self/statm``.
    """
    try:
        return int(os.pread(memory, 256, 0).split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def warm_up() -> None:
    """Do one of everything, so that nothing is imported later."""
    for name in CHECKS:
        check(Format(name), b'{"a": [1, 2.5, "\\u6d77", NaN')
    for dialect in DIALECTS:
        schema = {
            "$schema": dialect,
            "allOf": [{"type": "object"}, {"$ref": "#/definitions/a"}],
            "definitions": {"a": {"properties": {"a": {"uniqueItems": True, "pattern": "^a"}}}},
            "patternProperties": {"^x": {"enum": [1]}},
            "not": {"required": ["a"]},
        }
        for output in (b'{"a": [1, 1], "x": 2}', b'{"a": "b"}', b"[1e400]"):
            check(Format(SCHEMA, json.dumps(schema)), output)
    check(Format(SCHEMA, '{"type": "x"}'), b"1")
    check(Format(SCHEMA, '{"pattern": "("}'), b"1")
