"""One strict JSON value from bytes, or the problems of what is there instead: pure.

RFC 8259 to the letter, with bounds of our own on depth and on the digits of a number. A name that
comes twice in one object is a problem: the RFC allows it, but readers then differ in which value
they take, so what was checked here need not be what is read elsewhere.
"""

from __future__ import annotations

import json
import math
import re
from array import array
from collections.abc import Callable, Iterator
from itertools import accumulate, islice
from typing import Any, NoReturn

from runyard.protocols.checked import MOST_MORE, MOST_PROBLEMS
from runyard.protocols.paths import path_of
from runyard.worker.formats.verdicts import Problem, short

MOST_DEPTH = 512
MOST_DIGITS = 4000
DOUBLE_DIGITS = 308
MOST_MARKED = MOST_PROBLEMS + MOST_MORE
SHOWN = 24

# Possessive: without a way back, text that is no JSON costs no more than text that is.
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+'
STRING = re.compile(_STRING, re.DOTALL)
# From where digits begin only: from each of them in turn it would take the square of their number.
LONG_NUMBER = re.compile(rf"(?<![0-9])[0-9]{{{MOST_DIGITS + 1}}}")
LONG_FINITE = re.compile(rf"(?<![0-9])[0-9]{{{DOUBLE_DIGITS + 1}}}")
STEPS = {ord("["): 1, ord("{"): 1, ord("]"): 255, ord("}"): 255}  # 255 is -1 as a signed byte
TO_STEPS = bytes(STEPS.get(byte, 0) for byte in range(256))
NO_BRACKETS = bytes(byte for byte in range(256) if byte not in STEPS)
EXPECTED = {
    "Expecting value": "expected a JSON value",
    "Extra data": "expected the end after the value",
    "Expecting property name enclosed in double quotes": "expected a name in double quotes",
    "Expecting ',' delimiter": "expected ',' or the end of the array or object",
    "Expecting ':' delimiter": "expected ':' after the name",
    "Unterminated string starting at": "expected an end of the string that begins here",
    "Invalid control character at": "expected control characters in strings to be escaped",
    "Illegal trailing comma before end of array": "expected no comma before the end",
    "Illegal trailing comma before end of object": "expected no comma before the end",
}


class NotJson(Exception):
    """The bytes are no strict JSON value."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems[0].message)
        self.problems = problems


class _Constant(Exception):
    """NaN or an infinity was met."""


class _Twice(dict[str, Any]):
    """An object in which a name came twice."""

    name = ""


def text_of(data: bytes, first_line: int = 1) -> str:
    """Decode UTF-8 without a byte order mark.

    Raises:
        NotJson: with the line and the byte of the fault.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = first_line + data.count(b"\n", 0, error.start)
        bad = data[error.start : error.start + 4].hex(" ")
        message = f"line {line}: not UTF-8: the bytes {bad} at byte {error.start} of the output"
        raise NotJson(Problem("$", message)) from None
    if text.startswith("\ufeff"):
        raise NotJson(Problem("$", "line 1: begins with a byte order mark, which JSON has not"))
    return text


def parse(data: bytes, *, finite: bool = False) -> Any:
    """Give the value that is the whole of the bytes, white space around it aside.

    `finite` asks for numbers that a double can hold: without it, 1e999 is read as infinite.

    Raises:
        NotJson: with the line, the column and what was found, or with the path.
    """
    return parse_text(text_of(data), finite=finite)


def parse_text(text: str, first_line: int = 1, *, finite: bool = False) -> Any:
    """Do the same with decoded text, whose first line has a number of its own.

    Raises:
        NotJson: likewise.
    """
    check_bounds(text, first_line, finite=finite)
    reader = Reader(finite=finite)
    try:
        value = reader.decode(text)
    except json.JSONDecodeError as error:
        raise NotJson(_fault(text, error.pos, first_line, EXPECTED.get(error.msg))) from None
    except _Constant:
        raise NotJson(_fault(text, _constant_at(text), first_line, None)) from None
    except OverflowError as error:
        raise NotJson(Problem("$", f"a number that no double can hold: {error}")) from None
    if reader.twice:
        raise NotJson(*islice(twice_in(value), MOST_MARKED))
    return value


class Reader(json.JSONDecoder):
    """The standard library's decoder, made strict; counts objects in which a name comes twice."""

    def __init__(self, *, finite: bool = False) -> None:
        super().__init__(
            object_pairs_hook=self._object,
            parse_constant=_constant,
            parse_float=_finite if finite else None,
        )
        self.twice = 0
        self.scan: Callable[[str, int], tuple[Any, int]] = self.scan_once  # type: ignore[attr-defined]

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) == len(pairs) or self.twice > MOST_MARKED:
            return made
        self.twice += 1
        marked = _Twice(made)
        seen: set[str] = set()
        marked.name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        return marked


def check_bounds(text: str, first_line: int = 1, *, finite: bool = False) -> None:
    """Bound depth and digits, in a time that grows with the length, whatever the text is.

    Raises:
        NotJson: one is beyond its bound.
    """
    bare = STRING.sub("", text)
    steps = bare.encode("ascii", "replace").translate(TO_STEPS, NO_BRACKETS)
    if max(accumulate(array("b", steps)), default=0) > MOST_DEPTH:
        message = f"nested deeper than {MOST_DEPTH} levels"
        raise NotJson(Problem("$", message if first_line == 1 else f"line {first_line}: {message}"))
    most = DOUBLE_DIGITS if finite else MOST_DIGITS
    if (LONG_FINITE if finite else LONG_NUMBER).search(bare):
        raise NotJson(Problem("$", f"a number with more than {most} digits in a row"))


def twice_in(value: Any) -> Iterator[Problem]:
    """Find each object in which a name came twice."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while waiting:
        path, part = waiting.pop()
        if isinstance(part, _Twice):
            name = json.dumps(part.name[:60])
            yield Problem(path_of(path), f"the name {name} comes twice in one object")
        if isinstance(part, dict):
            below = [((*path, name), each) for name, each in part.items()]
        else:
            below = [((*path, at), each) for at, each in enumerate(part)]
        waiting.extend(pair for pair in reversed(below) if isinstance(pair[1], (dict, list)))


def _constant(name: str) -> NoReturn:
    raise _Constant(name)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise OverflowError(short(text, SHOWN))
    return number


def _constant_at(text: str) -> int:
    """Find the first NaN or infinity outside strings."""
    for found in re.finditer(rf"{_STRING}|NaN|-?Infinity", text, re.DOTALL):
        if not found[0].startswith('"'):
            return found.start()
    return 0


def _fault(text: str, at: int, first_line: int, expected: str | None) -> Problem:
    line = first_line + text.count("\n", 0, at)
    column = at - text.rfind("\n", 0, at)
    rest = text[at : at + SHOWN + 1].partition("\n")[0]
    if at >= len(text):
        found = "the end of the output"
    elif rest:
        found = short(json.dumps(rest, ensure_ascii=False), SHOWN + 2)
    else:
        found = "the end of the line"
    wanted = expected or "expected strict JSON"
    return Problem("$", f"line {line}, column {column}: {wanted}, found {found}")
