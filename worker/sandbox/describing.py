"""An exception as a record: bounded, and made without running any code of the program's.

Loaded into tasks' processes by inspecting.py, into the names of valuing.py. Only an audit hook of
the program's hears of this work, as of all that an interpreter does. Runs on CPython 3.8 and later.
"""

from __future__ import annotations

import builtins
import sys
from os import O_CLOEXEC, O_NONBLOCK, O_RDONLY, close, read
from os import open as open_file

FALSE: bool = False
if FALSE:  # for the type checker alone: at run time these names are there
    from types import CodeType, FrameType, TracebackType
    from typing import Any

    from runyard.worker.sandbox.valuing import (
        MEMBERS,
        MOST_ITEMS,
        MOST_TEXT,
        MOST_VALUE,
        describe,
        find,
        find_in_class,
        is_simple,
        name_of,
        plain,
        shorten,
    )


def frame_here() -> FrameType:
    """Give a function's frame."""
    return sys._getframe()  # noqa: SLF001


MOST_FRAMES = 40
MOST_WITH_LOCALS = 8
MOST_LOCALS = 24
MOST_FILE = 1 << 20
MODULE = type(sys)
FUNCTION = type(lambda: None)
VARIABLES = (dict, type(frame_here().f_locals))
OPTIMIZED = 1  # CO_OPTIMIZED: the code of a function
SYSTEM = sys.__dict__
GROUP = getattr(builtins, "BaseExceptionGroup", None)
PLACE = ("filename", "lineno", "offset", "text", "end_lineno", "end_offset")
OF_UNICODE = ("encoding", "object", "reason")
TELLERS = [
    (BaseException, ()), (KeyError, ()), (ImportError, ()), (UnicodeTranslateError, OF_UNICODE[1:]),
    (UnicodeDecodeError, OF_UNICODE), (UnicodeEncodeError, OF_UNICODE),
    (OSError, ("errno", "strerror", "filename", "filename2")),
    # from CPython 3.11 on the base's own once more
    *((kind, ()) for kind in (AttributeError, NameError) if "__str__" in kind.__dict__),
]  # fmt: skip
"""Whose ``__str__`` calls only that of the arguments and these members."""


def message_of(error: BaseException) -> str:
    """Give what ``str(error)`` says, as far as that needs no code of the program's."""
    kind, args = type(error), MEMBERS["args"].__get__(error)
    if GROUP is not None and issubclass(kind, GROUP):
        text, parts = (GROUP.__dict__[name].__get__(error) for name in ("message", "exceptions"))
        return shorten(f"{plain(text)} ({len(parts)} sub-exception{'s' * (len(parts) != 1)})")
    if issubclass(kind, SyntaxError):
        return shorten(plain(SyntaxError.__dict__["msg"].__get__(error)), 2 * MOST_TEXT)
    teller = find_in_class(kind, "__str__")
    for owner, members in TELLERS:
        if teller is not owner.__dict__["__str__"]:
            continue
        parts = (*args, *(owner.__dict__[name].__get__(error) for name in members))
        if all(is_simple(each) for each in parts):
            return shorten(teller(error), 2 * MOST_TEXT)
    return ", ".join(describe(each) for each in args[:MOST_ITEMS])


def lines_of(file: str) -> list[Any]:
    """Give a file's lines: as linecache has them where the program put them there, or its own."""
    modules = SYSTEM.get("modules")
    module = find(modules, "linecache") if type(modules) is dict else None
    cache = find(module.__dict__, "cache") if type(module) is MODULE else None
    entry = find(cache, file) if type(cache) is dict else None
    if type(entry) is tuple and len(entry) == 4 and type(entry[2]) is list:
        return entry[2]
    try:
        handle = open_file(file, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    except (OSError, ValueError):
        return []
    try:
        return read(handle, MOST_FILE).split(b"\n")
    except (OSError, MemoryError):
        return []
    finally:
        close(handle)


def line_of(file: str, number: int, seen: dict[str, list[Any]]) -> str:
    """Give a line of source; `seen` keeps what was read."""
    if file not in seen:
        seen[file] = lines_of(file)
    found = seen[file][number - 1] if 0 < number <= len(seen[file]) else ""
    text = found.decode("utf-8", "replace") if type(found) is bytes else plain(found)
    return shorten(text.strip())


def locals_of(frame: FrameType, code: CodeType) -> dict[str, str]:
    """Describe a frame's variables; of a module's only those that the program is likely to know.

    None of a class's body that has cells: they would be written to its namespace first.
    """
    found: dict[str, str] = {}
    if code.co_cellvars and not code.co_flags & OPTIMIZED:
        return found
    variables = frame.f_locals
    if not any(type(variables) is each for each in VARIABLES):
        return found
    of_module = plain(code.co_name) == "<module>"
    for name, value in list(variables.items()):
        if len(found) == MOST_LOCALS:
            break
        if type(name) is not str or name.startswith("__"):
            continue
        if of_module and any(type(value) is each for each in (MODULE, FUNCTION, type)):
            continue
        found[shorten(name, 60)] = shorten(describe(value), MOST_VALUE)
    return found


def frames_of(trace: TracebackType | None) -> tuple[list[dict[str, Any]], int]:
    """List the innermost frames, innermost last, and say how many are left out."""
    steps = []
    while trace is not None:
        steps.append(trace)
        trace = trace.tb_next
    left_out = max(0, len(steps) - MOST_FRAMES)
    frames: list[dict[str, Any]] = []
    seen: dict[str, list[Any]] = {}
    for place, step in enumerate(steps[left_out:]):
        code, number = step.tb_frame.f_code, step.tb_lineno or 0
        file = plain(code.co_filename)
        frame: dict[str, Any] = {
            "file": shorten(file),
            "line": number,
            "function": shorten(plain(getattr(code, "co_qualname", code.co_name))),
            "source": line_of(file, number, seen),
        }
        if len(steps) - left_out - place <= MOST_WITH_LOCALS:
            frame["locals"] = locals_of(step.tb_frame, code)
        frames.append(frame)
    return frames, left_out


def record_of(error: BaseException, chained: int) -> dict[str, Any]:
    """Describe an exception, its frames, and those that it is chained to or made of."""
    kind = type(error)
    frames, left_out = frames_of(MEMBERS["__traceback__"].__get__(error))
    record: dict[str, Any] = {
        "type": name_of(kind),
        "message": message_of(error),
        "frames": frames,
    }
    if left_out:
        record["frames_left_out"] = left_out
    if issubclass(kind, SyntaxError):
        add_place(record, error)
    if chained > 0:
        add_chained(record, error, chained)
    return record


def add_place(record: dict[str, Any], error: BaseException) -> None:
    """Say where the syntax is wrong."""
    space = SyntaxError.__dict__
    for name in PLACE:
        value = space[name].__get__(error) if name in space else None
        if type(value) is int:
            record[name] = min(max(value, 0), 1 << 30)
        elif plain(value):
            record[name] = shorten(plain(value).rstrip("\n"))


def add_chained(record: dict[str, Any], error: BaseException, chained: int) -> None:
    """Add what it was raised from, or what it is made of."""
    cause, context = (MEMBERS[name].__get__(error) for name in ("__cause__", "__context__"))
    if cause is not None:
        record["cause"] = record_of(cause, chained - 1)
    elif context is not None and not MEMBERS["__suppress_context__"].__get__(error):
        record["context"] = record_of(context, chained - 1)
    if GROUP is not None and issubclass(type(error), GROUP):
        parts = GROUP.__dict__["exceptions"].__get__(error)
        record["exceptions"] = [record_of(each, chained - 2) for each in parts[:MOST_ITEMS]]
