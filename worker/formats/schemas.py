"""JSON Schema, by the `jsonschema` library: nothing is ever fetched. Runs in the child alone.

The one exception is an operator's own schema files, which are checked when they are loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from jsonschema import validators
from jsonschema.exceptions import ValidationError
from jsonschema_specifications import REGISTRY as SPECIFICATIONS
from referencing import Registry, Specification
from referencing.exceptions import Unresolvable
from referencing.jsonschema import specification_with

from runyard.protocols.paths import path_of
from runyard.protocols.schemas import SchemaRefused, check_shape
from runyard.worker.formats.kinds import brief
from runyard.worker.formats.strictjson import NotJson, parse
from runyard.worker.formats.verdicts import Problem

EMPTY: Registry[Any] = Registry()
DEFAULT = "https://json-schema.org/draft/2020-12/schema"
NEGATIVE = {"not": "must not be what `not` says", "anyOf": "fits none of `anyOf`"}
OWN_WORDS = frozenset(
    {"required", "additionalProperties", "unevaluatedProperties", "dependentRequired"}
)


def problems(text: str, output: bytes) -> Iterator[Problem]:
    """Validate an output, which must be one strict JSON value of finite numbers.

    Raises:
        Unresolvable: a reference leads nowhere.
        RecursionError: schema and output together nest without end, or almost.
    """
    try:
        value = parse(output, finite=True)
    except NotJson as error:
        yield from error.problems
        return
    for each in _validator(text).iter_errors(value):
        yield Problem(path_of(each.absolute_path), _message(each))


@lru_cache(maxsize=8)
def faults(text: str) -> tuple[Problem, ...]:
    """Say what is wrong with a schema, given as JSON text; nothing if it can be used."""
    try:
        schema = parse(text.encode(), finite=True)
        check_shape(schema if isinstance(schema, dict) else {"not": schema})
    except NotJson as error:
        return error.problems
    except SchemaRefused as error:
        return (Problem(error.path, f"{error.allowed}, is {brief(error.got)}"),)
    cls = _class(schema)
    against = cls(cls.META_SCHEMA, registry=EMPTY)
    found = [Problem(path_of(e.absolute_path), _message(e)) for e in against.iter_errors(schema)]
    return tuple(found[:100] or list(_unusable(schema))[:100])


@lru_cache(maxsize=8)
def _validator(text: str) -> Any:
    schema = parse(text.encode(), finite=True)
    return _class(schema)(schema, registry=EMPTY)


def _dialect(schema: Any) -> str:
    return str(schema.get("$schema", DEFAULT)) if isinstance(schema, dict) else DEFAULT


def _class(schema: Any) -> Any:
    return validators.validator_for({"$schema": _dialect(schema)})


def _unusable(schema: Any) -> Iterator[Problem]:
    """Find patterns that are none, and references that lead nowhere."""
    specification: Specification[Any] = specification_with(_dialect(schema).rstrip("#"))
    root = specification.create_resource(schema)
    waiting = [(root, SPECIFICATIONS.resolver_with_root(root))]
    while waiting:
        resource, resolver = waiting.pop()
        part = resource.contents
        if not isinstance(part, dict):
            continue
        for name in ("$ref", "$dynamicRef"):
            if isinstance(part.get(name), str):
                try:
                    resolver.lookup(part[name])
                except (Unresolvable, ValueError):
                    yield Problem("$", f"{name} {brief(part[name])} leads nowhere in this schema")
        yield from _bad_patterns(part)
        below = list(resource.subresources())
        waiting.extend((each, resolver.in_subresource(each)) for each in below)


def _bad_patterns(part: dict[str, Any]) -> Iterator[Problem]:
    named = part.get("patternProperties")
    patterns = [part.get("pattern"), *(named if isinstance(named, dict) else ())]
    for pattern in patterns:
        if isinstance(pattern, str):
            try:
                re.compile(pattern)
            except (re.error, OverflowError, RecursionError) as error:
                yield Problem("$", f"the pattern {brief(pattern)} is none: {error}")


def _message(error: ValidationError) -> str:
    """Say it in JSON's words: the library's own begin with the value, however long it is."""
    keyword = str(error.validator)
    if keyword in OWN_WORDS and len(error.message) <= 150:
        return error.message
    if keyword == "None":
        return f"nothing is allowed here, is {brief(error.instance)}"
    if keyword == "type":
        kinds = error.validator_value
        wanted = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
        return f"must be of type {wanted}, is {brief(error.instance)}"
    if keyword in NEGATIVE:
        return f"{NEGATIVE[keyword]}: {brief(error.instance)}"
    return f"must fit {keyword}: {_shown(error.validator_value)}, is {brief(error.instance)}"


def _shown(value: Any) -> str:
    if isinstance(value, list) and len(value) <= 8:
        return "[" + ", ".join(brief(each) for each in value) + "]"
    return brief(value)
