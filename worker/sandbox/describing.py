"""An exception as a record: bounded, and made without running any code of the program's.

Loaded into tasks' processes by inspecting.py, by path: it uses nothing but what the interpreter has
loaded anyway, and calls no ``__repr__``, no ``__str__``, no property of the program's. An instance
is shown by its type and what stands in its dictionary. Runs on CPython 3.8 and later.
"""

from __future__ import annotations

import builtins
import os
import sys

FALSE: bool = False
if FALSE:  # for the type checker alone: the import would cost tasks time
    from types import CodeType, FrameType, TracebackType
    from typing import Any

MOST_FRAMES = 40
MOST_WITH_LOCALS = 8
MOST_LOCALS = 24
MOST_ITEMS = 8
MOST_TEXT = 160
MOST_DEPTH = 3
MOST_FILE = 1 << 20
SCALARS = (int, float, complex, bool, type(None), type(...), range)
MEMBERS = BaseException.__dict__
MODULE = type(sys)
GROUP = getattr(builtins, "BaseExceptionGroup", None)
PLACE = ("filename", "lineno", "offset", "text", "end_lineno", "end_offset")


def shorten(text: str, most: int = MOST_TEXT) -> str:
    """Cut a text in the middle."""
    return text if len(text) <= most else f"{text[: most - 40]}...{text[-37:]}"


def name_of(kind: type) -> str:
    """Name a type as tracebacks do, whatever its metaclass says."""
    name: str = type.__dict__["__name__"].__get__(kind)
    module = type.__dict__["__module__"].__get__(kind)
    plain = not isinstance(module, str) or module in ("builtins", "__main__")
    return shorten(name if plain else f"{module}.{name}")


def describe(value: Any, depth: int = MOST_DEPTH) -> str:
    """Describe a value as its repr would, as far as that needs no code of the program's."""
    kind = type(value)
    if kind is str or kind is bytes or kind is bytearray:
        return shorten(repr(value[:MOST_TEXT])) + ("" if len(value) <= MOST_TEXT else "...")
    if kind is int and value.bit_length() > 400:
        return f"<int of {value.bit_length()} bits>"
    if kind in SCALARS:
        return shorten(repr(value))
    if kind in (list, tuple, set, frozenset, dict):
        return items_of(value, kind, depth)
    if issubclass(kind, type):
        return f"<class {name_of(value)}>"
    return fields_of(value, kind, depth)


def items_of(value: Any, kind: type, depth: int) -> str:
    """Describe a container's first items."""
    if depth <= 0 or not value:
        return repr(kind()) if not value else f"<{kind.__name__} of {len(value)}>"
    some: list[str] = []
    for item in dict.items(value) if kind is dict else value:
        if len(some) == MOST_ITEMS:
            some.append("...")
            break
        if kind is dict:
            some.append(f"{describe(item[0], depth - 1)}: {describe(item[1], depth - 1)}")
        else:
            some.append(describe(item, depth - 1))
    inside = ", ".join(some)
    if kind is list:
        return f"[{inside}]"
    if kind is tuple:
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return f"{{{inside}}}" if kind is not frozenset else f"frozenset({{{inside}}})"


def fields_of(value: Any, kind: type, depth: int) -> str:
    """Describe an object by its type and what stands in its dictionary."""
    name = name_of(kind)
    if issubclass(kind, BaseException):
        args = MEMBERS["args"].__get__(value)
        return f"{name}({', '.join(describe(each, depth - 1) for each in args[:MOST_ITEMS])})"
    try:
        fields = object.__getattribute__(value, "__dict__")
    except Exception:  # noqa: BLE001 (whatever it is: there is none to show)
        fields = None
    if type(fields) is not dict or not fields or depth <= 0:
        return f"<{name} object>"
    some: list[str] = []
    for key, item in dict.items(fields):
        if len(some) == MOST_ITEMS:
            some.append("...")
            break
        if type(key) is str:
            some.append(f"{shorten(key, 60)}={describe(item, depth - 1)}")
    return f"{name}({', '.join(some)})"


def message_of(error: BaseException) -> str:
    """Give what ``str(error)`` says, as far as that needs no code of the program's."""
    kind, args = type(error), MEMBERS["args"].__get__(error)
    if type(args) is not tuple:
        return ""
    if GROUP is not None and issubclass(kind, GROUP):
        text, parts = (GROUP.__dict__[name].__get__(error) for name in ("message", "exceptions"))
        return shorten(f"{text} ({len(parts)} sub-exception{'s' * (len(parts) != 1)})")
    if issubclass(kind, SyntaxError):
        text = SyntaxError.__dict__["msg"].__get__(error)
        return shorten(text, 2 * MOST_TEXT) if type(text) is str else ""
    spaces = [type.__dict__["__dict__"].__get__(k) for k in type.__dict__["__mro__"].__get__(kind)]
    teller = next(space["__str__"] for space in spaces if "__str__" in space)
    in_c = type(teller) is type(object.__str__)
    if in_c and all(type(each) in (str, bytes, *SCALARS) for each in args):
        if len(args) == 1 and type(args[0]) is str and teller is MEMBERS["__str__"]:
            return shorten(args[0], 2 * MOST_TEXT)
        return shorten(teller(error), 2 * MOST_TEXT)
    return ", ".join(describe(each) for each in args[:MOST_ITEMS])


def line_of(code: CodeType, number: int) -> str:
    """Give a line of source: as linecache has it where the program put it there, or the file's."""
    module = sys.modules.get("linecache") if type(sys.modules) is dict else None
    cache = module.__dict__.get("cache") if type(module) is MODULE else None
    entry = cache.get(code.co_filename) if type(cache) is dict else None
    if type(entry) is tuple and len(entry) == 4 and type(entry[2]) is list:
        lines = entry[2]
        line = lines[number - 1] if 0 < number <= len(lines) else ""
        return shorten(line.strip()) if type(line) is str else ""
    try:
        handle = os.open(code.co_filename, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return ""
    try:
        data = os.read(handle, MOST_FILE).split(b"\n")
    except OSError:
        data = []
    finally:
        os.close(handle)
    found = data[number - 1] if 0 < number <= len(data) else b""
    return shorten(found.decode("utf-8", "replace").strip())


def locals_of(frame: FrameType, code: CodeType) -> dict[str, str]:
    """Describe a frame's variables; of a module's only those that the program is likely to know."""
    found: dict[str, str] = {}
    variables = frame.f_locals
    if type(variables) is not dict and type(variables) is not type(sys._getframe().f_locals):  # noqa: SLF001
        return found  # a mapping of the program's own, of a class's body
    of_module = code.co_name == "<module>"
    for name, value in list(variables.items()):
        if len(found) == MOST_LOCALS:
            break
        if type(name) is not str or name.startswith("__"):
            continue
        if of_module and type(value) in (MODULE, type(describe), type):
            continue
        found[shorten(name, 60)] = describe(value)
    return found


def frames_of(trace: TracebackType | None) -> tuple[list[dict[str, Any]], int]:
    """List the innermost frames, innermost last, and say how many are left out."""
    steps = []
    while trace is not None:
        steps.append(trace)
        trace = trace.tb_next
    left_out = max(0, len(steps) - MOST_FRAMES)
    frames = []
    for place, step in enumerate(steps[left_out:]):
        code, number = step.tb_frame.f_code, step.tb_lineno or 0
        frame: dict[str, Any] = {
            "file": shorten(code.co_filename),
            "line": number,
            "function": shorten(getattr(code, "co_qualname", code.co_name)),
            "source": line_of(code, number),
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
            record[name] = value
        elif type(value) is str:
            record[name] = shorten(value.rstrip("\n"))


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
