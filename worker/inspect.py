"""From what a task's process left behind its input to a record of its end: pure."""

from __future__ import annotations

import re

from runyard.protocols.inspected import Record, read_record

PROGRAM = "main.py"
THREAD = re.compile(rb"^(?:Current thread|Thread) 0x[0-9a-f]+ .*\(most recent call first\):$")
FRAME = re.compile(rb'^  File "(.*)", line (\d+) in (.*)$')
MOST_FRAMES = 64


def raised(told: bytes) -> Record | None:
    """Read the exception that ended a program: the last line that is a record."""
    for line in reversed(told.rstrip(b"\n").split(b"\n")):
        if line.startswith(b"{"):
            return _with_line(read_record(line))
    return None


def caught_in(told: bytes, code: bytes, detail: str) -> Record | None:
    """Read where a program's main thread was when its time was over, as faulthandler tells it.

    Threads are told newest first, so the main one is the last, and frames innermost first.
    """
    source = code.split(b"\n")
    frames: list[Record] = []
    for line in told.split(b"\n"):
        if THREAD.match(line):
            frames = []
        found = FRAME.match(line)
        if found is not None and len(frames) < MOST_FRAMES:
            frames.append(_frame(found, source))
    if not frames:
        return None
    return _with_line({"type": "Timeout", "message": detail, "frames": frames[::-1]})


def _frame(found: re.Match[bytes], source: list[bytes]) -> Record:
    file, number, function = found.groups()
    line = min(int(number), 1 << 30) if len(number) < 12 else 0
    text = b""
    if file == PROGRAM.encode() and 0 < line <= len(source):
        text = source[line - 1].strip()[:160]
    names = (each.decode("utf-8", "replace")[:160] for each in (file, function, text))
    file_name, function_name, source_line = names
    return {"file": file_name, "line": line, "function": function_name, "source": source_line}


def _with_line(record: Record | None) -> Record | None:
    """Name the line of the program itself that the end has to do with."""
    if record is None:
        return None
    own = [each["line"] for each in record.get("frames", []) if each["file"] == PROGRAM]
    line = own[-1] if own else None
    if record.get("lineno") and record.get("filename") == PROGRAM:
        line = record["lineno"]
    return record if line is None else record | {"line": line}
