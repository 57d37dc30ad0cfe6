"""JSON Lines: one strict JSON value a line: pure."""

from __future__ import annotations

from collections.abc import Iterator

from runyard.worker.formats.strictjson import NotJson, Reader, check_bounds, parse_text, text_of
from runyard.worker.formats.verdicts import Problem


def json_lines(output: bytes) -> Iterator[Problem]:
    """Check each line. The last may end with a newline or not; no output at all is no lines."""
    try:
        text = text_of(output)
    except NotJson as error:
        yield from error.problems
        return
    reader, plain = Reader(), _within_bounds(text)
    at, number, size = 0, 1, len(text)
    while at < size:
        if plain:
            at, good = _good_lines(reader, text, at)
            number += good
        if at >= size:
            return
        end = text.find("\n", at)
        line = text[at:] if end < 0 else text[at:end]
        yield from _problems(line, number)
        at, number = at + len(line) + 1, number + 1


def _within_bounds(text: str) -> bool:
    """Whether no line can be beyond the bounds, unclosed brackets counted through all of them."""
    try:
        check_bounds(text)
    except NotJson:
        return False
    return True


def _good_lines(reader: Reader, text: str, at: int) -> tuple[int, int]:
    """Pass plain good lines, quickly; give where another line begins, and how many these were."""
    scan, size, count = reader.scan, len(text), 0
    reader.twice = 0
    try:
        while at < size:
            _, end = scan(text, at)
            if reader.twice or (end < size and text[end] != "\n"):
                break
            if text[at] in "[{" and text.find("\n", at, end) >= 0:
                break
            at, count = end + 1, count + 1
    except Exception:  # noqa: BLE001 (whatever it is, the line is then looked at by itself)
        return at, count
    return at, count


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
