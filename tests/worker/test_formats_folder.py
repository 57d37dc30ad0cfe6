from __future__ import annotations

import json
from pathlib import Path

import pytest

from runyard.protocols.formats import Format
from runyard.worker.formats.folder import MOST_FORMATS, FormatsUnusable, load_formats


def test_each_file_is_a_format_and_is_read_anew(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('{"type": "array"}')
    (tmp_path / "README.md").write_text("not a format")
    assert load_formats(tmp_path) == {"rows": Format("rows", '{"type":"array"}')}
    (tmp_path / "rows.json").write_text('{"type": "object"}')
    (tmp_path / "shop-2.json").write_text("{}")
    loaded = load_formats(tmp_path)
    assert list(loaded) == ["rows", "shop-2"]
    assert loaded["rows"].schema == '{"type":"object"}'


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("Rows.json", "{}", "a name must be lower-case letters"),
        ("json.json", "{}", "json is a name of our own"),
        ("schema.json", "{}", "schema is a name of our own"),
        ("a.json", "", "$: line 1, column 1: expected a JSON value"),
        ("a.json", '{"type": "array",\n}', "$: line 2, column 1"),
        ("a.json", "[]", "format.schema: got an array of 0; must be an object"),
        ("a.json", '{"a": 1, "a": 2}', 'the name "a" comes twice'),
        ("a.json", '{"type": "arra"}', "format.schema.type"),
        ("a.json", '{"$ref": "b.json"}', "nothing is ever fetched"),
        ("a.json", '{"required": ["a", "a"]}', "$.required"),
        ("a.json", '{"pattern": "("}', "the pattern"),
        ("a.json", json.dumps({"const": "x" * 70_000}), "at most 65536 bytes"),
        ("a.json", " " * 200_000, "larger than"),
    ],
)
def test_a_faulty_file_is_named(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(FormatsUnusable) as caught:
        load_formats(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert said in str(caught.value)


def test_a_folder_that_is_none_or_holds_too_many_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatsUnusable, match="No such file"):
        load_formats(tmp_path / "none")
    (tmp_path / "a.json").mkdir()
    with pytest.raises(FormatsUnusable, match=r"a\.json: Is a directory"):
        load_formats(tmp_path)
    (tmp_path / "a.json").rmdir()
    for number in range(MOST_FORMATS + 1):
        (tmp_path / f"f{number}.json").write_text("{}")
    with pytest.raises(FormatsUnusable, match="at most 58"):
        load_formats(tmp_path)
