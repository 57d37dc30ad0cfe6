"""A value as a text: bounded, and made without running any code of the program's.

Loaded into tasks' processes by inspecting.py before the program starts: it keeps what it uses, and
calls no ``__repr__``, no ``__str__``, no property of the program's. An instance is shown by its
type and what stands in its dictionary. Strings, names of classes and keys may be of the program's
own classes, and classes may have metaclasses that compare: so types are told by `is`, texts are
made plain first, and the program's dictionaries are searched, not asked. Runs on CPython 3.8 and
later.
"""

from __future__ import annotations

import builtins

FALSE: bool = False
if FALSE:  # for the type checker alone: the import would cost tasks time
    from typing import Any

globals()["__builtins__"] = dict(builtins.__dict__)  # functions below use this copy

MOST_ITEMS = 8
MOST_TEXT = 160
MOST_VALUE = 400
MOST_DEPTH = 3
SCALARS = (int, float, complex, bool, type(None), type(...))
TYPE = type.__dict__
MEMBERS = BaseException.__dict__
GETSET = type(TYPE["__dict__"])
HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE


def shorten(text: str, most: int = MOST_TEXT) -> str:
    """Cut a text in the middle."""
    return text if len(text) <= most else f"{text[: most - 40]}...{text[-37:]}"


def plain(text: Any) -> str:
    """Give the characters of a string, which may be of a class of the program's."""
    if type(text) is str:
        return text
    return str.__str__(text) if issubclass(type(text), str) else ""


def find(space: Any, name: str) -> Any:
    """Look for a name by going through: a lookup would ask keys of the program's whether they fit.

    `space` is a dictionary or a class's namespace.
    """
    for key, value in list(space.items()):
        if type(key) is str and key == name:
            return value
    return None


def find_in_class(kind: type, name: str) -> Any:
    """Find what instances inherit, without asking metaclasses."""
    for each in TYPE["__mro__"].__get__(kind):
        found = find(TYPE["__dict__"].__get__(each), name)
        if found is not None:
            return found
    return None


def name_of(kind: type) -> str:
    """Name a type as tracebacks do, whatever its metaclass says."""
    name = plain(TYPE["__name__"].__get__(kind))
    if TYPE["__flags__"].__get__(kind) & HEAP_TYPE:
        module = plain(find(TYPE["__dict__"].__get__(kind), "__module__"))
    else:
        module = plain(TYPE["__module__"].__get__(kind))
    return shorten(name if module in ("", "builtins", "__main__") else f"{module}.{name}")


def is_simple(value: Any) -> bool:
    """Say whether a value's repr and str are the interpreter's own all through."""
    kind = type(value)
    return type(kind) is type and (kind in SCALARS or kind is str or kind is bytes)


def describe(value: Any, depth: int = MOST_DEPTH) -> str:
    """Describe a value as its repr would, as far as that needs no code of the program's."""
    kind = type(value)
    if kind is str or kind is bytes or kind is bytearray:
        return shorten(repr(value[:MOST_TEXT])) + ("" if len(value) <= MOST_TEXT else "...")
    if is_simple(value):
        many = kind is int and value.bit_length() > 400
        return f"<int of {value.bit_length()} bits>" if many else shorten(repr(value))
    if type(kind) is type and kind in (list, tuple, set, frozenset, dict):
        return items_of(value, kind, depth)
    if kind is range:
        return f"range({describe(value.start)}, {describe(value.stop)}, {describe(value.step)})"
    if issubclass(kind, type):
        return f"<class {name_of(value)}>"
    return fields_of(value, kind, depth)


def is_enough(some: list[str]) -> bool:
    """Say whether no more parts of a value are wanted."""
    return len(some) == MOST_ITEMS or sum(len(each) for each in some) > MOST_VALUE


def items_of(value: Any, kind: type, depth: int) -> str:
    """Describe a container's first items."""
    if depth <= 0 or not value:
        return repr(kind()) if not value else f"<{kind.__name__} of {len(value)}>"
    some: list[str] = []
    for item in list(value.items() if kind is dict else value):
        if is_enough(some):
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
    getter = find_in_class(kind, "__dict__")
    fields = getter.__get__(value) if type(getter) is GETSET else None
    if type(fields) is not dict or not fields or depth <= 0:
        return f"<{name} object>"
    some: list[str] = []
    for key, item in list(fields.items()):
        if is_enough(some):
            some.append("...")
            break
        if type(key) is str:
            some.append(f"{shorten(key, 60)}={describe(item, depth - 1)}")
    return f"{name}({', '.join(some)})"
