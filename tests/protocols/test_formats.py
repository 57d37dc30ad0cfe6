from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.protocols.formats import BUILTIN, SCHEMA_BYTES, Format, FormatRefused, format_of
from runyard.protocols.paths import path_of

DRAFT_4 = "http://json-schema.org/draft-04/schema#"
DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema"


def refusal(value: object) -> FormatRefused:
    with pytest.raises(FormatRefused) as caught:
        format_of(value)
    assert len(str(caught.value)) < 600
    return caught.value


def nested(levels: int) -> Any:
    schema: Any = {}
    for _ in range(levels - 1):
        schema = {"not": schema}
    return schema


@pytest.mark.parametrize("name", BUILTIN)
def test_a_name_is_a_format(name: str) -> None:
    assert format_of(name) == Format(name)


def test_an_operator_s_name_is_known_where_it_is_said() -> None:
    assert format_of("rows", [*BUILTIN, "rows"]) == Format("rows")
    assert refusal("rows").allowed.startswith("must be one of json, json_lines, text, comic_home")


@pytest.mark.parametrize("value", [None, 1, True, [], {}, {"schema": {}, "x": 1}, {"Schema": {}}])
def test_neither_a_name_nor_a_schema_is_refused(value: Any) -> None:
    assert refusal(value).field == "format"


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": ["string", "null"], "maxLength": 3.0},
        {"$schema": DRAFT_4, "maximum": 3, "exclusiveMaximum": True},
        {"$schema": DRAFT_2020, "$defs": {"a b": {"type": "null"}}, "$ref": "#/$defs/a%20b"},
        {"$defs": {"a": {"$anchor": "x"}}, "$ref": "#x"},
        {"$id": "http://own.example/s", "$defs": {"a": {"$id": "a"}}, "items": {"$ref": "a#"}},
        {"$ref": DRAFT_2020},
        {"properties": {"$ref": {"type": "string"}, "enum": {"type": "array"}}},
        {"enum": [{"$ref": "http://data.example", "type": 3}], "const": {"required": 1}},
        {"allOf": [True, False], "items": [{}], "unknown": {"type": 3}},
        nested(60),
    ],
)
def test_a_sound_schema_is_taken_as_its_text(schema: Any) -> None:
    taken = format_of({"schema": schema})
    assert taken.name == "schema"
    assert json.loads(taken.schema or "") == schema


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ([], "format.schema"),
        ("json", "format.schema"),
        (True, "format.schema"),
        ({"type": "strin"}, "format.schema.type"),
        ({"type": []}, "format.schema.type"),
        ({"properties": {"a b": {"type": 1}}}, 'format.schema.properties["a b"].type'),
        ({"properties": []}, "format.schema.properties"),
        ({"properties": {"a": 1}}, "format.schema.properties.a"),
        ({"allOf": [{}, {"minimum": "1"}]}, "format.schema.allOf[1].minimum"),
        ({"allOf": {}}, "format.schema.allOf"),
        ({"required": "a"}, "format.schema.required"),
        ({"maxItems": -1}, "format.schema.maxItems"),
        ({"maxItems": 1.5}, "format.schema.maxItems"),
        ({"maxItems": float("inf")}, "format.schema.maxItems"),
        ({"maximum": True}, "format.schema.maximum"),
        ({"multipleOf": 0}, "format.schema.multipleOf"),
        ({"uniqueItems": 1}, "format.schema.uniqueItems"),
        ({"maximum": float("inf")}, "format.schema"),
        ({"title": "\ud800"}, "format.schema"),
        ({"$schema": "http://other.example/"}, 'format.schema["$schema"]'),
        ({"$ref": "http://other.example/s"}, 'format.schema["$ref"]'),
        ({"$ref": "file:///etc/passwd"}, 'format.schema["$ref"]'),
        ({"$ref": "//other.example/s"}, 'format.schema["$ref"]'),
        ({"$ref": "/etc/passwd"}, 'format.schema["$ref"]'),
        ({"$ref": "other.json"}, 'format.schema["$ref"]'),
        ({"$ref": "http://["}, 'format.schema["$ref"]'),
        ({"$id": "http://[", "$ref": "x"}, 'format.schema["$id"]'),
        ({"$ref": 1}, 'format.schema["$ref"]'),
        ({"$dynamicRef": "urn:a:b"}, 'format.schema["$dynamicRef"]'),
        ({"$ref": "#/$defs/a"}, 'format.schema["$ref"]'),
        ({"$ref": "#/allOf/" + "9" * 5000, "allOf": [{}]}, 'format.schema["$ref"]'),
        ({"items": {"$ref": "#/definitions/b"}, "definitions": {"a": {}}}, "format.schema.items"),
        (nested(65), "format.schema"),
        ({"const": [[[[{}]]]] * 20000}, "format.schema"),
        ({"const": "x" * SCHEMA_BYTES}, "format.schema"),
        ({"const": "海" * 30000}, "format.schema"),
    ],
)
def test_a_faulty_schema_is_refused_with_the_place(schema: Any, field: str) -> None:
    assert refusal({"schema": schema}).field.startswith(field)


def test_nothing_is_done_with_a_schema_beyond_the_bounds() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    began = time.process_time()
    for schema in ({"const": deep}, {"const": ["x"] * 5_000_000}, {"const": "x" * 30_000_000}):
        assert refusal({"schema": schema}).field == "format.schema"
    assert time.process_time() - began < 2, "it grows with the bounds, not with what came"
    while deep:  # Python frees deep lists without recursion, but this says so
        deep = deep[0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["type", "$ref", "$id", "items", "properties", "allOf", "enum", "not",
                         "required", "maximum", "maxItems", "$defs", "pattern", "multipleOf"]),
        inner, max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_whatever_comes_is_taken_or_refused(value: Any) -> None:
    for each in (value, {"schema": value}):
        try:
            taken = format_of(each)
        except FormatRefused as error:
            assert error.field.startswith("format")  # noqa: PT017
        else:
            assert taken.schema is None or json.loads(taken.schema) == each["schema"]


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        ([], "$"),
        (["image_urls", 3], "$.image_urls[3]"),
        (["a b", "", "海", "x'\""], '$["a b"][""]["海"]["x\'\\""]'),
        (["\ud800"], '$["\\ud800"]'),
    ],
)
def test_paths(parts: list[str | int], path: str) -> None:
    assert path_of(parts) == path


def test_long_paths_are_cut() -> None:
    assert len(path_of(["x" * 5000])) < 100
    assert len(path_of(["name"] * 5000)) == 200
