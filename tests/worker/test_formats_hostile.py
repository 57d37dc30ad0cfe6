"""Schemas and outputs that are meant to harm, checked by the real child, which alone is exposed."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from checking import RealChecker

from runyard.protocols.formats import SCHEMA, Format
from runyard.worker.formats.verdicts import Verdict

NULLS = Format(SCHEMA, '{"items": {"type": "null"}}')
JSON, LINES, TEXT = Format("json"), Format("json_lines"), Format("text")
WALL_S = 1.0
LATE = f"the check did not end within {WALL_S:g} s"
WITHOUT_END = "the schema and the output nest too deeply, or without end"
UNUSABLE = "the schema cannot be used: "
MOST = 16 * 1024 * 1024
PATIENCE_S = 20.0


def schema(value: Any) -> Format:
    return Format(SCHEMA, value if isinstance(value, str) else json.dumps(value))


EXPONENTIAL = {
    "$ref": "#/$defs/a",
    "$defs": {
        "a": {
            "properties": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}},
            "required": ["z"],
        }
    },
}
FAILS: dict[str, tuple[Format, bytes, str]] = {
    "a regular expression": (schema({"pattern": "^(a+)+$"}), b'"' + b"a" * 40 + b'b"', LATE),
    "unique items, the slow way": (
        schema({"uniqueItems": True}),
        json.dumps([{"a": n} for n in range(100_000)]).encode(),
        LATE,
    ),
    "twice as much a level": (schema(EXPONENTIAL), b'{"a":' * 60 + b"1" + b"}" * 60, LATE),
    "a large schema": (
        schema({"properties": {str(n): {"type": "string"} for n in range(40_000)}}), b"{}", LATE,
    ),
    "a deep schema": (
        schema('{"items":' * 10_000 + "{}" + "}" * 10_000), b"1", f"{UNUSABLE}$: nested deeper",
    ),
    "a deep pattern": (schema({"pattern": "(" * 5000 + ")" * 5000}), b'"a"', f"{UNUSABLE}$: the p"),
    "a loop": (schema({"$ref": "#"}), b"1", WITHOUT_END),
    "a loop of two": (
        schema({"$ref": "#/$defs/a", "$defs": {
            "a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}), b"1", WITHOUT_END,
    ),
    "a loop that branches": (schema({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}), b"1", WITHOUT_END),
    "a dynamic loop": (schema({"$dynamicAnchor": "x", "$dynamicRef": "#x"}), b"1", WITHOUT_END),
    "a file": (schema({"$ref": "file:///etc/passwd"}), b"1", f'{UNUSABLE}$["$ref"]: must refer'),
    "an address": (schema({"$ref": "http://127.0.0.1:9/"}), b"1", f'{UNUSABLE}$["$ref"]: must re'),
    "an address where no keyword is": (
        schema({"$ref": "#/x/y", "x": {"y": {"$ref": "http://127.0.0.1:9/"}}}), b"1",
        "a reference leads nowhere, and nothing is ever fetched",
    ),
}  # fmt: skip
QUICK: dict[str, tuple[Format, bytes]] = {
    "a huge divisor": (schema('{"multipleOf": ' + "7" * 308 + "}"), b"1"),
    "a tiny divisor": (schema('{"multipleOf": 1e-320}'), b"9" * 309),
    "a huge float": (schema({"multipleOf": 1e-300}), b"1e999999999"),
    "deep, with a schema for each level": (schema({"items": {"$ref": "#", "type": "null"}}),
                                           b"[" * 512 + b"]" * 512),
    "a large value that is shown": (schema({"const": "x" * 1_000_000}), b'"y"'),
    "no dialect": (schema({"type": "null"}), b'"\\ud800\\u0000\\u202e"'),
}  # fmt: skip
LARGE: dict[str, tuple[Format, Callable[[], bytes], bool | None]] = {
    "open brackets": (JSON, lambda: b"[" * MOST, False),
    "brackets": (JSON, lambda: b"[" * (MOST // 2) + b"]" * (MOST // 2), False),
    "lists": (JSON, lambda: b"[" + b"[]," * 5_590_000 + b"[]]", None),
    "objects": (JSON, lambda: b"[" + b'{"":1},' * 2_300_000 + b"1]", None),
    "objects in wide characters": (
        JSON, lambda: '["\U0001f600",'.encode() + b'{"":1},' * 2_300_000 + b"1]", None,
    ),
    "one number": (JSON, lambda: b"1" * MOST, False),
    "one fraction": (JSON, lambda: b"0." + b"1" * (MOST - 2), False),
    "long numbers": (JSON, lambda: b"[" + (b"1" * 3999 + b",") * 4000 + b"1]", True),
    "numbers": (JSON, lambda: b"[" + b"1," * 8_300_000 + b"1]", True),
    "numbers with a schema": (NULLS, lambda: b"[" + b"1," * 8_300_000 + b"1]", False),
    "quotes": (JSON, lambda: b'"' + b'\\"' * (MOST // 2 - 1), False),
    "spaces": (JSON, lambda: b" " * MOST, False),
    "names twice": (JSON, lambda: b"[" + b'{"a":1,"a":2},' * 1_000_000 + b"1]", False),
    "short lines": (LINES, lambda: b"1\n" * (MOST // 2), True),
    "empty lines": (LINES, lambda: b"\n" * MOST, False),
    "bad lines": (LINES, lambda: b"x\n" * (MOST // 2), False),
    "bad text": (TEXT, lambda: b"a" * (MOST - 1) + b"\xff", False),
}  # fmt: skip


async def judged(wanted: Format, output: bytes, wall_s: float = WALL_S) -> Verdict:
    async with RealChecker(children=1, wall_s=wall_s, cpu_s=math.ceil(wall_s) + 1) as real:
        assert (await real.checker.check(JSON, b"1")).ok
        began = time.monotonic()
        verdict = await real.checker.check(wanted, output)
        assert time.monotonic() - began < wall_s + PATIENCE_S
        assert (await real.checker.check(JSON, b"1")).ok, "the next check works"
        assert not (await real.checker.check(JSON, b"x")).ok
    return verdict


SLOW = ("unique items, the slow way", "twice as much a level", "a large schema")


@pytest.mark.parametrize(
    "what", [pytest.param(each, marks=pytest.mark.slow) if each in SLOW else each for each in FAILS]
)
@pytest_twisted.ensureDeferred
async def test_what_cannot_be_judged_is_said_to_be_so(what: str) -> None:
    wanted, output, failed = FAILS[what]
    verdict = await judged(wanted, output)
    assert (verdict.ok, verdict.problems) == (False, ())
    assert (verdict.failed or "").startswith(failed)


@pytest.mark.parametrize("what", QUICK)
@pytest_twisted.ensureDeferred
async def test_what_can_be_judged_has_problems(what: str) -> None:
    verdict = await judged(*QUICK[what], wall_s=10)
    assert (verdict.ok, verdict.failed) == (False, None)
    assert 1 <= len(verdict.problems) <= 20


@pytest.mark.slow
@pytest.mark.parametrize("what", LARGE)
@pytest_twisted.ensureDeferred
async def test_16_mib_are_judged_or_said_not_to_be(what: str) -> None:
    wanted, output, ok = LARGE[what]
    verdict = await judged(wanted, output(), wall_s=60)
    if ok is None:  # it may need more memory than there is, by the width of this Python's objects
        assert verdict.ok or "memory" in (verdict.failed or "")
    else:
        assert (verdict.ok, verdict.failed) == (ok, None)


@pytest.mark.slow
@pytest_twisted.ensureDeferred
async def test_more_time_than_there_is_for_16_mib_is_a_failure() -> None:
    output = b"[" + b"1," * 8_300_000 + b"1]"
    assert (await judged(schema({"items": {"type": "integer"}}), output)).failed == LATE
