"""What no peer may send, with the words that the answer must hold (None: it is to be ignored)."""

from __future__ import annotations

import json
import random
from typing import Any

from attrs import frozen
from rawpeer import line

MB = 1_000_000
SURROGATE = "\\ud800"


@frozen
class Rudeness:
    """Some bytes, and what the Error to them says."""

    name: str
    data: bytes
    why: str | None


def noise(size: int) -> bytes:
    """Make bytes that look like nothing, the same each time."""
    return random.Random(6557).randbytes(size).replace(b"\n", b"\r")


def nested(depth: int, **fields: Any) -> bytes:
    """Write a header line with a value of so many lists, one in the other."""
    start = json.dumps(fields)[:-1]
    return f'{start}, "x": {"[" * depth}{"]" * depth}}}\n'.encode()


def before_proof(others: str) -> list[Rudeness]:
    """What ends a connection whose peer has proven nothing; `others`: a verb of its other side."""
    return [
        Rudeness("noise", noise(100) + b"\r\n", "JSON object"),
        Rudeness("unknown verb", line("Reboot"), "unknown verb"),
        Rudeness("no verb", b"{}\n", "with a verb"),
        Rudeness("empty line", b"\n", "JSON object"),
        Rudeness("long line", line("Ping", pad="x" * 40_000), "4096 bytes"),
        Rudeness("long line without an end", b"x" * 40_000, "4096 bytes"),
        Rudeness("the other side's verb", line(others), "not this side's"),
        Rudeness("working verb", line("Ping"), "before the proofs"),
        Rudeness("data", line("Data", stream=1, payload=[5]) + b"12345", "before the proofs"),
        Rudeness("brackets", b"[" * 100_000 + b"\n", "4096 bytes"),
        Rudeness("few brackets", b"[" * 4_000 + b"\n", "JSON object"),
        Rudeness("wide text", line("Ping").decode().encode("utf-16") + b"\n", "JSON object"),
        Rudeness(
            "an Error that writes into our log",
            line("Error", reason="\n2026-01-01 forged \x1b[31m\u2028\x85"),
            "",
        ),
    ]


def _sizes(count: int, last: Any) -> Any:
    """Give a payload list of the verb's length by its last member, unless it is given whole."""
    return last if isinstance(last, list) else [0] * (count - 1) + [last]


def after_proof(verb: str, count: int, others: str, fields: dict[str, Any]) -> list[Rudeness]:
    """What ends a proven link; `verb` is the one with payloads, `count` how many always travel."""

    def lie(name: str, sizes: Any, why: str, **more: Any) -> Rudeness:
        data = line(verb, **fields, payload=_sizes(count, sizes), **more)
        return Rudeness(f"sizes: {name}", data, why)

    def frame(name: str, why: str, **more: Any) -> Rudeness:
        opened = line(verb, **fields, stream=1, payload=_sizes(count, 10))
        return Rudeness(f"data: {name}", opened + line("Data", **more), why)

    streams = b"".join(
        line(verb, **fields, stream=n, payload=[MB] + [0] * (count - 1)) for n in range(1000)
    )
    whole = line(verb, **fields, stream=1, payload=_sizes(count, 10))
    return [
        Rudeness("noise", noise(100) + b"\r\n", "JSON object"),
        Rudeness("unknown verb", line("Reboot"), "unknown verb"),
        Rudeness("not UTF-8", b'{"verb":"Ping","x":"\xff"}\n', "JSON object"),
        Rudeness("long line", line("Ping", pad="x" * 70_000), "65536 bytes"),
        Rudeness("the other side's verb", line(others), "not this side's"),
        Rudeness("brackets", b"[" * 100_000 + b"\n", "65536 bytes"),
        Rudeness("fewer brackets", nested(30_000, verb="Ping"), "JSON object"),
        Rudeness("brackets in a field", _deep_field(), "malformed"),
        Rudeness("NaN", b'{"verb":"Ping","beat":NaN}\n', "JSON object"),
        Rudeness("Infinity ignored nowhere", b'{"verb":"Ping","x":-Infinity}\n', "JSON object"),
        Rudeness("huge whole number", b'{"verb":"Ping","beat":1' + b"0" * 4_000 + b"}\n", "beat"),
        Rudeness("huger", b'{"verb":"Ping","beat":1' + b"0" * 50_000 + b"}\n", "JSON object"),
        Rudeness("huge float", b'{"verb":"Ping","beat":1e999}\n', "beat"),
        Rudeness("a float", b'{"verb":"Ping","beat":1.5}\n', "beat"),
        Rudeness("truth as a number", b'{"verb":"Ping","beat":true}\n', "beat"),
        Rudeness("lone surrogate", f'{{"verb":"Ping","x":"{SURROGATE}"}}\n'.encode(), "UTF-8"),
        Rudeness("raw surrogate", b'{"verb":"Ping","x":"\xed\xa0\x80"}\n', "JSON object"),
        Rudeness("same key twice", b'{"verb":"Reboot","verb":"Ping"}\n', None),
        Rudeness("long line of a good verb", line("Ping", pad="x" * 40_000), None),
        Rudeness("pair of surrogates", b'{"verb":"Ping","x":"\\ud83d\\ude00"}\n', None),
        lie("negative", -1, "must be 0 to"),
        lie("a float", 1.0, "must be 0 to"),
        lie("huge", 1 << 60, "must be 0 to"),
        lie("true", True, "must be 0 to"),
        lie("a text", "10", "must be 0 to"),
        lie("none", None, "must be 0 to"),
        lie("too many", [0] * (count + 2), "payloads"),
        lie("too few", [0] * (count - 1), "payloads"),
        lie("no list", [], "payloads"),
        lie("large without a stream", [70_000] + [0] * (count - 1), "need a stream"),
        lie("empty stream", 0, "none of them empty", stream=1),
        lie("stream true", 10, "whole number", stream=True),
        lie("stream none", 10, "whole number", stream=None),
        lie("stream a list", 10, "whole number", stream=[1]),
        frame("more than announced", "no more than was announced", stream=1, payload=[11]),
        frame("empty", "1 to", stream=1, payload=[0]),
        frame("negative", "1 to", stream=1, payload=[-1]),
        frame("true", "one payload", stream=1, payload=[True]),
        frame("stream true", "not open", stream=True, payload=[1]),
        frame("two payloads", "one payload", stream=1, payload=[1, 1]),
        frame("no payload", "one payload", stream=1),
        frame("unknown stream", "not open", stream=2, payload=[1]),
        frame("stream a list", "not open", stream=[1], payload=[1]),
        Rudeness("same stream twice", whole + whole, "whole number"),
        Rudeness("a thousand streams", streams, "at most"),
    ]


def _deep_field() -> bytes:
    return b'{"verb":"Pong","beat":' + b"[" * 600 + b"]" * 600 + b"}\n"
