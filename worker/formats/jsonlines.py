"""JSON Lines: one strict JSON value a line: pure."""

from __future__ import annotations

from collections.abc import Iterator

from runyard.worker.formats.strictjson import NotJson, Reader, check_bounds, parse_text, text_of
from runyard.worker.formats.verdicts import Problem


def json_lines(output: bytes) -> Iterator[Problem]:
    """Check each line. The last may end with a newline or not; no output at all is no lines."""
    try:
        text = text_of(output)
        check_bounds(text)
    except NotJson as error:
        yield from error.problems
        return
    reader = Reader()
    at, number, size = 0, 1, len(text)
    while at < size:
        end = _end_of_value(reader, text, at)
        if end == size or text[end] == "\n":
            at, number = end + 1, number + 1
            continue
        end = text.find("\n", at)
        line = text[at:] if end < 0 else text[at:end]
        yield from _problems(line, number)
        at, number = at + len(line) + 1, number + 1


def _end_of_value(reader: Reader, text: str, at: int) -> int:
    """Give the end of the value that begins here if it is strict and on one line, else `at`."""
    try:
        _, end = reader.scan(text, at)
    except Exception:  # noqa: BLE001 (whatever it is, the line is then looked at by itself)
        return at
    if reader.twice or (text[at] in "[{" and text.find("\n", at, end) >= 0):
        reader.twice = False
        return at
    return end


def _problems(line: str, number: int) -> Iterator[Problem]:
    if not line.strip(" \t\r"):
        yield Problem("$", f"line {number}: is empty; each line must hold a JSON value")
        return
    try:
        parse_text(line, number)
    except NotJson as error:
        for each in error.problems:
            named = each.message.startswith("line ")
            yield each if named else Problem(each.path, f"line {number}: {each.message}")
