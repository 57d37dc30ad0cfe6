"""The record of a program's end, from whoever wrote it: bounded, of known form, or nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.protocols import inspected
from runyard.protocols.inspected import Record, checked, read_record, without_locals, write_record

FRAME = {"file": "main.py", "line": 3, "function": "f", "source": "1/0", "locals": {"a": "1"}}
WHOLE: Record = {
    "type": "ValueError", "message": "no", "line": 3, "frames": [FRAME], "frames_left_out": 5,
    "cause": {"type": "KeyError", "message": "'k'", "frames": [FRAME]},
    "context": {"type": "A", "exceptions": [{"type": "B", "frames": []}]},
    "threads": [{"type": "C", "message": "", "frames": [FRAME]}],
}  # fmt: skip
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from([*WHOLE, *FRAME, "lineno", "exceptions", "other"]) | st.text(), inner
    ),
)  # fmt: skip


def test_a_record_of_the_known_form_passes_as_it_is() -> None:
    assert checked(WHOLE) == WHOLE
    assert read_record(write_record(WHOLE)) == WHOLE


def frames_in(record: Record) -> list[Any]:
    parts = [record[key] for key in ("cause", "context") if key in record]
    parts += [*record.get("exceptions", []), *record.get("threads", [])]
    return [*record.get("frames", []), *(each for part in parts for each in frames_in(part))]


@given(TREES)
def test_whatever_comes_is_a_record_of_known_form_or_nothing(tree: Any) -> None:
    record = checked(tree)
    if record is None:
        assert write_record(record) == ""
        return
    assert checked(record) == record, "what was checked passes again, unchanged"
    text = write_record(record)
    assert text.isascii()
    assert 0 < len(text) <= inspected.MOST_BYTES
    assert len(json.dumps(text)) <= inspected.MOST_QUOTED
    again = read_record(text)
    assert again is not None
    assert again.get("type") == record.get("type")
    assert not any("locals" in each for each in frames_in(without_locals(record)))


@given(st.binary() | st.text())
def test_bytes_that_are_no_record_are_none(data: bytes | str) -> None:
    record = read_record(data)
    assert record is None or checked(record) == record


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"null", b"[]", b"3", b'"type"', b"{}", b'{"type": 3}', b'{"type": ["a"]}',
        b"[" * 30_000, b'{"a":' * 6000, b"9" * 30_000, b'{"type":' + b"9" * 30_000 + b"}",
        b"\xff\xfe{", b"\x00" * 100, b'{"type": "a"' + b" " * inspected.MOST_BYTES + b"}",
        b'{"threads": [3, [], {}]}', b"NaN", b'{"type": "\xff"}',
    ],
)  # fmt: skip
def test_what_is_hostile_is_none(text: bytes) -> None:
    assert read_record(text) is None


def test_wrong_types_within_are_left_out_and_the_rest_stays() -> None:
    record = checked(
        {
            "type": "E", "message": 3, "line": True, "lineno": -1, "offset": 1 << 31, "frames": [
                3, {}, {"line": "3"}, {"line": 2, "file": [], "locals": {"a": 1, "b": "2"}},
            ], "cause": [], "context": {"message": "no type"}, "exceptions": [None, {"type": "F"}],
            "threads": "x", "unknown": {"a": 1},
        }
    )  # fmt: skip
    assert record == {
        "type": "E",
        "frames": [{"line": 2, "file": "", "function": "", "source": "", "locals": {"b": "2"}}],
        "exceptions": [{"type": "F"}],
    }


def test_each_part_is_bounded() -> None:
    many = {f"v{n}": "x" for n in range(1000)}
    frames = [{"line": n, "locals": many} for n in range(1000)]
    record = checked({"type": "t" * 9999, "frames": frames, "exceptions": [{"type": "E"}] * 99})
    assert record is not None
    assert len(record["type"]) == inspected.MOST_TEXT
    assert [each["line"] for each in record["frames"]] == list(range(936, 1000)), "the innermost"
    assert {len(each["locals"]) for each in record["frames"]} == {inspected.MOST_LOCALS}
    assert len(record["exceptions"]) == inspected.MOST_PARTS


def test_a_chain_is_cut_at_its_depth() -> None:
    chain: Record = {"type": "E"}
    for _ in range(50):
        chain = {"type": "E", "cause": chain}
    depth, record = 0, checked(chain)
    while record is not None:
        depth, record = depth + 1, record.get("cause")
    assert depth == inspected.MOST_DEPTH


def test_what_is_too_large_loses_its_locals_then_its_frames() -> None:
    large = {"a": "x" * 500}
    frames = [{**FRAME, "locals": {f"{n}": "x" * 500 for n in range(9)}} for _ in range(9)]
    slim = read_record(write_record({"type": "E", "frames": frames}))
    assert slim is not None
    assert len(slim["frames"]) == 9
    assert "locals" not in slim["frames"][0]
    frames = [{"line": 1, "file": "f" * 500, "locals": large} for _ in range(64)]
    least = read_record(write_record({"type": "E", "message": "m", "line": 1, "frames": frames}))
    assert least == {"type": "E", "message": "m", "line": 1, "frames": []}


def test_a_bound_of_the_header_s_own_is_kept_even_where_quoting_doubles_it() -> None:
    record = {"type": "E", "frames": [], "message": '"\\' * 256}
    assert write_record(record, 5000)
    assert write_record(record, 100) == ""


def test_half_a_surrogate_pair_becomes_what_utf_8_can_carry() -> None:
    record = read_record(b'{"type": "\\ud800", "message": "\\ud83d\\ude00"}')
    assert record is not None
    assert (record["type"], record["message"]) == ("?", "\U0001f600")
    assert json.dumps(record, ensure_ascii=False).encode()


def test_locals_are_taken_out_everywhere_and_nothing_else_is() -> None:
    slim = without_locals(WHOLE)
    assert "locals" not in json.dumps(slim)
    assert "locals" in json.dumps(WHOLE), "the record itself stays as it is"
    assert json.loads(json.dumps(WHOLE).replace(', "locals": {"a": "1"}', "")) == slim
