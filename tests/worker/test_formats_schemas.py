"""Schemas by themselves, in this process: nothing here is hostile."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from referencing.exceptions import Unresolvable

from runyard.protocols.formats import SCHEMA, Format
from runyard.protocols.schemas import DIALECTS
from runyard.worker.formats.checks import check, check_schema
from runyard.worker.formats.verdicts import Verdict

ROWS = {
    "type": "object",
    "required": ["rows"],
    "properties": {
        "rows": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "object", "properties": {"price": {"type": "number", "minimum": 0}}},
        }
    },
    "additionalProperties": False,
}


def judged(schema: Any, value: Any) -> Verdict:
    output = value if isinstance(value, bytes) else json.dumps(value).encode()
    return check(Format(SCHEMA, json.dumps(schema)), output)


def told(schema: Any, value: Any) -> list[tuple[str, str]]:
    verdict = judged(schema, value)
    assert verdict.failed is None
    return [(each.path, each.message) for each in verdict.problems]


def test_an_output_that_fits_has_no_problems() -> None:
    assert judged(ROWS, {"rows": [{"price": 3}]}) == Verdict(ok=True, name="schema")


def test_each_fault_has_its_path_and_a_word_on_what_was_found() -> None:
    assert told(ROWS, {"rows": [{"price": 3}, {"price": -1}, {"price": "3"}, 5]}) == [
        ("$.rows[1].price", "must fit minimum: 0, is -1"),
        ("$.rows[2].price", 'must be of type number, is "3"'),
        ("$.rows[3]", "must be of type object, is 5"),
    ]
    assert told(ROWS, {"rows": [], "x": 1}) == [
        ("$.rows", "must fit minItems: 1, is an empty array"),
        ("$", "Additional properties are not allowed ('x' was unexpected)"),
    ]
    assert told(ROWS, {}) == [("$", "'rows' is a required property")]


@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        ({"enum": ["a", 1]}, "b", 'must fit enum: ["a", 1], is "b"'),
        ({"const": {"a": 1}}, [1], "must fit const: an object of 1, is an array of 1"),
        ({"not": {}}, None, "must not be what `not` says: null"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1, "fits none of `anyOf`: 1"),
        ({"type": ["string", "null"]}, True, "must be of type string or null, is true"),
        ({"pattern": "^a$"}, "b" * 500, f'must fit pattern: "^a$", is "{"b" * 59}…"'),
        (False, 1, "nothing is allowed here, is 1"),
        ({"type": "string"}, b"[1e400]", "a number that no double can hold: 1e400"),
        ({"type": "string"}, b"9" * 309, "a number with more than 308 digits in a row"),
        ({"type": "string"}, b"log\n1", 'line 1, column 1: expected a JSON value, found "log"'),
    ],
)
def test_messages(schema: Any, value: Any, said: str) -> None:
    ((path, message),) = told(schema, value)
    assert (path, message) == ("$", said)


def test_the_dialect_is_the_newest_unless_the_schema_names_another() -> None:
    older = {"items": [{"type": "string"}], "$schema": "http://json-schema.org/draft-07/schema#"}
    assert told(older, [1]) == [("$[0]", "must be of type string, is 1")]
    assert told({"prefixItems": [{"type": "string"}]}, [1]) != []
    assert told({**older, "prefixItems": [{"type": "number"}]}, ["a"]) == []
    fourth = {"$schema": "http://json-schema.org/draft-04/schema", "maximum": 3}
    assert told({**fourth, "exclusiveMaximum": True}, 3) != []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_dialect_s_own_schema_is_a_schema_without_a_network(dialect: str) -> None:
    assert judged({"$ref": dialect}, {"type": "string"}).ok
    assert not judged({"$ref": dialect}, {"type": "strin"}).ok


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"properties": {"a": {"type": "strin"}}}, "$.properties.a.type"),
        ({"required": ["a", "a"]}, "$.required"),
        ({"dependentRequired": {"a": 1}}, "$.dependentRequired.a"),
        ({"pattern": "("}, "$"),
        ({"patternProperties": {"[": {}}}, "$"),
        ({"$ref": "#nowhere"}, "$"),
        ({"$ref": "http://other.example/s"}, '$["$ref"]'),
    ],
)
def test_a_schema_that_cannot_be_used_is_a_failure_never_a_verdict(schema: Any, path: str) -> None:
    wanted = Format(SCHEMA, json.dumps(schema))
    found = check_schema(wanted)
    assert (found.ok, found.problems[0].path) == (False, path)
    verdict = check(wanted, b"{}")
    assert (verdict.ok, verdict.problems) == (False, ())
    assert (verdict.failed or "").startswith(f"the schema cannot be used: {path}: ")


def test_no_reference_opens_a_connection_or_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []

    def refuse(*args: Any, **kwargs: Any) -> None:
        opened.append(args)  # the library would hide what is raised here
        raise OSError

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(socket, "socket", refuse)
    for target in ("http://127.0.0.1:9/x", "file:///etc/passwd", "ftp://a/b"):
        assert not check_schema(Format(SCHEMA, json.dumps({"$ref": target}))).ok
        hidden = {"$ref": "#/x/y", "x": {"y": {"$ref": target}}}
        with pytest.raises(Unresolvable):
            judged(hidden, 1)
    assert opened == []
