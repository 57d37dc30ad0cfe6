"""The shape of a JSON Schema: each keyword's kind of value, and references that stay inside: pure.

This is not the whole of a schema's validity. It finds what people get wrong, with its path, in a
time that grows with the schema's size alone, and without the library that validates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from attrs import field, frozen

from runyard.protocols.paths import path_of

DIALECTS = {
    "http://json-schema.org/draft-04/schema": "draft 4",
    "http://json-schema.org/draft-06/schema": "draft 6",
    "http://json-schema.org/draft-07/schema": "draft 7",
    "https://json-schema.org/draft/2019-09/schema": "2019-09",
    "https://json-schema.org/draft/2020-12/schema": "2020-12",
}
OFFICIAL = ("http://json-schema.org/", "https://json-schema.org/")
TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})

INDEX = re.compile(r"[0-9]{1,9}")

_Path = tuple[str | int, ...]
_ONE = "additionalProperties additionalItems not if then else contains propertyNames items"
ONE = frozenset([*_ONE.split(), "unevaluatedItems", "unevaluatedProperties", "contentSchema"])
MANY = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})


class SchemaRefused(ValueError):
    """A schema cannot be used; `path` says where, `got` what is there, `allowed` what may be."""

    def __init__(self, path: _Path, got: object, allowed: str) -> None:
        self.path = path_of(path)
        self.got = got
        self.allowed = allowed
        super().__init__(f"{self.path}: {allowed}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return _is_number(value) and whole and value >= 0  # type: ignore[operator]


def _is_type(value: object) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(name, str) and name in TYPES for name in names)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


_TEXT: tuple[Callable[[object], bool], str] = (lambda v: isinstance(v, str), "must be a string")
_FLAG: tuple[Callable[[object], bool], str] = (
    lambda v: isinstance(v, bool),
    "must be true or false",
)
_COUNT = (_is_count, "must be a whole number from 0")
_NUMBER = (_is_number, "must be a number")
_BOUND: tuple[Callable[[object], bool], str] = (
    lambda v: _is_number(v) or isinstance(v, bool),
    "must be a number",
)
KINDS: dict[str, tuple[Callable[[object], bool], str]] = {
    "type": (_is_type, f"must be one or a list of {', '.join(sorted(TYPES))}"),
    "enum": (lambda v: isinstance(v, list), "must be an array"),
    "required": (_are_texts, "must be an array of strings"),
    "multipleOf": (lambda v: _is_number(v) and v > 0, "must be a number above 0"),  # type: ignore[operator]
    "exclusiveMaximum": _BOUND,
    "exclusiveMinimum": _BOUND,
    "maximum": _NUMBER,
    "minimum": _NUMBER,
    "uniqueItems": _FLAG,
    **dict.fromkeys(
        ("maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties"), _COUNT
    ),
    **dict.fromkeys(("maxContains", "minContains"), _COUNT),
    **dict.fromkeys(("$ref", "$dynamicRef", "$recursiveRef", "$id", "$schema", "pattern"), _TEXT),
    **dict.fromkeys(("$anchor", "$dynamicAnchor", "format", "title", "description"), _TEXT),
}


@frozen
class _References:
    """The schema's own names, and where it refers to what, from which base."""

    key: str
    base: str
    names: set[str] = field(factory=set)
    used: list[tuple[_Path, str, str]] = field(factory=list)


def check_shape(schema: dict[str, object]) -> None:
    """Check a schema's keywords and references; its depth must be bounded already.

    Raises:
        SchemaRefused: the first fault.
    """
    dialect = schema.get("$schema", "")
    if dialect and (not isinstance(dialect, str) or dialect.rstrip("#") not in DIALECTS):
        raise SchemaRefused(("$schema",), dialect, f"must be one of {', '.join(DIALECTS)}")
    key = "id" if "draft-04" in str(dialect) else "$id"
    found = _References(key, _base_of((), schema, key, ""))
    waiting: list[tuple[_Path, object, str]] = [((), schema, "")]
    while waiting:
        path, part, base = waiting.pop()
        if isinstance(part, bool):
            continue
        if not isinstance(part, dict):
            raise SchemaRefused(path, part, "must be a schema: an object, true or false")
        base = _keywords(path, part, base, found)
        waiting.extend((where, below, base) for where, below in _below(path, part))
    for path, reference, base in found.used:
        _resolve(path, reference, base, schema, found)


def _keywords(path: _Path, part: dict[str, object], base: str, found: _References) -> str:
    """Check one level; give the base of the references in it and below it."""
    for name, value in part.items():
        fits, allowed = KINDS.get(name, (None, ""))
        if fits is not None and not fits(value):
            raise SchemaRefused((*path, name), value, allowed)
    base = _base_of(path, part, found.key, base)
    found.names.add(base)
    for name in ("$ref", "$dynamicRef"):
        reference = part.get(name)
        if isinstance(reference, str):
            found.used.append(((*path, name), reference, base))
    return base


def _base_of(path: _Path, part: dict[str, object], key: str, base: str) -> str:
    own = part.get(key)
    if not isinstance(own, str) or own.startswith("#"):
        return base
    try:
        urlsplit(own)  # urljoin takes the first one as it is
        return urldefrag(urljoin(base, own)).url
    except ValueError:
        raise SchemaRefused((*path, key), own, "must be a URI") from None


def _below(path: _Path, part: dict[str, object]) -> Iterator[tuple[_Path, object]]:
    for name, value in part.items():
        here = (*path, name)
        if name in NAMED:
            if not isinstance(value, dict):
                raise SchemaRefused(here, value, "must be an object of schemas")
            yield from (((*here, key), below) for key, below in value.items())
        elif name in MANY or (name == "items" and isinstance(value, list)):
            if not isinstance(value, list):
                raise SchemaRefused(here, value, "must be an array of schemas")
            yield from (((*here, at), below) for at, below in enumerate(value))
        elif name in ONE:
            yield here, value


def _resolve(path: _Path, reference: str, base: str, root: object, found: _References) -> None:
    if reference.startswith("#"):
        here = base == found.base and reference.startswith("#/")
        if here and not _points(root, reference[1:]):
            raise SchemaRefused(path, reference, "must point to a part of this schema")
        return
    try:
        whole = urldefrag(urljoin(base, reference)).url
    except ValueError:
        raise SchemaRefused(path, reference, "must be a URI reference") from None
    if whole not in found.names and not whole.startswith(OFFICIAL):
        raise SchemaRefused(path, reference, "must refer to this schema: nothing is ever fetched")


def _points(part: object, pointer: str) -> bool:
    for step in unquote(pointer).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(part, dict) and name in part:
            part = part[name]
        elif isinstance(part, list) and INDEX.fullmatch(name) and int(name) < len(part):
            part = part[int(name)]
        else:
            return False
    return True
