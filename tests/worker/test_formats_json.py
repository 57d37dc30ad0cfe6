from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.protocols.checked import MOST_MORE, MOST_PROBLEMS
from runyard.protocols.formats import Format
from runyard.worker.formats.checks import check
from runyard.worker.formats.verdicts import Problem

BAD_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u(?![0-9A-Fa-f]{4})")
IN_PYTHON: Any = json  # its decoder and scanner, which no annotations name
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def problems(name: str, output: bytes) -> list[Problem]:
    verdict = check(Format(name), output)
    assert verdict.ok == (not verdict.problems)
    assert verdict.failed is None
    return list(verdict.problems)


GOOD = [
    b"1", b" \t\r\n{}\n", b"[]", b'"a"', b"null", b"-0", b"1e5", b"1E+5", b"0.5", b"1e400",
    b'"\\ud800"', b'"\\u0000"', '"海"'.encode(), b"1" * 4000, b"[" * 512 + b"]" * 512,
    b'"' + b"[" * 5000 + b'"', b'"NaN"', b'{"a": 1, "b": {"a": 1}}', b'"\xc2\x85\xe2\x80\xa8"',
]  # fmt: skip
BAD = [
    b"", b" ", b"NaN", b"[Infinity]", b"-Infinity", b"01", b"1.", b".5", b"+1", b"0x1", b"1e",
    b"'a'", b"{a: 1}", b"[1,]", b'{"a": 1,}', b"[1 2]", b'"a', b'"\n"', b'"\t"', b'"\\x"',
    b'"\\u12"', b"1 2", b"{} x", b"nul", b"True", b"\xff", b'"\xed\xa0\x80"', b"\xef\xbb\xbf1",
    b"\xff\xfe1\x00", b"1\x00", b"\xc2\xa01", b"// a\n1", b"[1]]", b"\x0b1", "\u0661".encode(),
    b"1" * 4001, b"0." + b"1" * 4001, b"[" * 513 + b"]" * 513, b'{"a": 1, "a": 1}',
]  # fmt: skip


@pytest.mark.parametrize("output", GOOD, ids=lambda o: repr(o[:12]))
def test_strict_json_passes(output: bytes) -> None:
    assert problems("json", output) == []


@pytest.mark.parametrize("output", BAD, ids=lambda o: repr(o[:12]))
def test_what_is_no_strict_json_has_one_problem(output: bytes) -> None:
    (problem,) = problems("json", output)
    assert problem.path == "$"
    assert problem.message.isprintable()
    assert len(problem.message) <= 200


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (
            b'fetching page 1 ...\n{"rows": 3}\n',
            'line 1, column 1: expected a JSON value, found "f',
        ),
        (b'1 page\n{"rows": 3}\n', 'line 1, column 3: expected the end after the value, found "pa'),
        (
            b'{"rows": 3}\ndone\n',
            'line 2, column 1: expected the end after the value, found "done"',
        ),
        (b'{"a": 1,\n "b": NaN}', 'line 2, column 7: expected strict JSON, found "NaN}"'),
        (b'["NaN",\n -Infinity]', 'line 2, column 2: expected strict JSON, found "-Infinity]"'),
        (
            b"[1,\n2",
            "line 2, column 2: expected ',' or the end of the array or object, found the e",
        ),
        (b"", "line 1, column 1: expected a JSON value, found the end of the output"),
        (b"1\n\xff\xfe", "line 2: not UTF-8: the bytes ff fe at byte 2 of the output"),
        (b"\xef\xbb\xbf1", "line 1: begins with a byte order mark"),
    ],
)
def test_a_fault_is_named_with_line_column_and_what_was_found(output: bytes, said: str) -> None:
    (problem,) = problems("json", output)
    assert problem.message.startswith(said), problem.message


def test_each_object_with_a_name_twice_is_named_by_its_path() -> None:
    found = problems("json", b'{"a": [{"b": 1, "b": 1}, 2, {"c d": {"x": 1, "y": 2, "x": 3}}]}')
    assert [each.path for each in found] == ["$.a[0]", '$.a[2]["c d"]']
    assert found[1].message == 'the name "x" comes twice in one object'


def test_problems_are_listed_up_to_a_number_and_then_counted_up_to_another() -> None:
    one = b'{"a": 1, "a": 2}'
    some = check(Format("json"), b"[" + b",".join([one] * 25) + b"]")
    assert (len(some.problems), some.more) == (MOST_PROBLEMS, 5)
    many = check(Format("json"), b"[" + b",".join([one] * 5000) + b"]")
    assert (len(many.problems), many.more) == (MOST_PROBLEMS, MOST_MORE)


@given(VALUES, st.booleans())
def test_whatever_json_dumps_gives_passes(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, allow_nan=False, ensure_ascii=ascii_only)
    assert problems("json", text.encode()) == []
    assert problems("json_lines", text.encode()) == []


class Sentinel(Exception):
    """Python's JSON read something that JSON has not."""


def reference(output: bytes) -> bool:
    """Judge by the standard library's scanner in Python, with its leniences taken away."""
    if BAD_ESCAPE.search(output):  # int(" 001", 16) is a number for Python
        return False

    def refuse(name: str) -> None:
        raise Sentinel(name)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise Sentinel("twice")
        return dict(pairs)

    try:
        decoder: Any = json.JSONDecoder(parse_constant=refuse, object_pairs_hook=once)
        decoder.parse_string = IN_PYTHON.decoder.py_scanstring
        decoder.scan_once = IN_PYTHON.scanner.py_make_scanner(decoder)
        decoder.decode(output.decode())
    except (ValueError, Sentinel):
        return False
    return True


@given(VALUES, st.data())
def test_a_mutation_passes_only_where_it_is_json_still(value: Any, data: st.DataObject) -> None:
    output = bytearray(json.dumps(value).encode())
    at = data.draw(st.integers(0, len(output) - 1))
    what = data.draw(st.sampled_from(["cut", "drop", "put", "swap"]))
    if what == "cut":
        del output[at:]
    elif what == "drop":
        del output[at]
    else:
        byte = data.draw(st.sampled_from(list(b'{}[],:"\\ 0e-.tN\n\x00\xff')))
        output[at : at + (what == "swap")] = bytes([byte])
    assert (problems("json", bytes(output)) == []) == reference(bytes(output))


LINES = [
    (b"", []), (b"1", []), (b"1\n", []), (b"1\r\n2\r\n", []), (b' {"a": 1} \n[]\n', []),
    (b"\n", [1]), (b"1\n\n2\n", [2]), (b"1\n \n", [2]), (b"1\n\n", [2]), (b"\r\n1", [1]),
    (b"[1,\n2]\n3\n", [1, 2]), (b"1 2\n3\n", [1]), (b"1\nNaN\nx\n4\n", [2, 3]),
    (b'{"a": 1, "a": 2}\n{"a": 1}\n', [1]), (b'1\n"a\nb"\n', [2, 3]), (b"]\n[\n1\n", [1, 2]),
    (b"1\n" + b"[" * 600 + b"]" * 600 + b"\n2\n", [2]), (b"[\n" * 25, list(range(1, 21))),
    (b"1\n" + b"1" * 4001 + b"\n", [2]), (b"1\n\xff\n", [2]), (b"\xef\xbb\xbf1\n", [1]),
]  # fmt: skip


@pytest.mark.parametrize(("output", "lines"), LINES, ids=lambda v: repr(v)[:20])
def test_json_lines_names_each_line_that_is_no_value(output: bytes, lines: list[int]) -> None:
    found = [each.message for each in problems("json_lines", output)]
    assert [message.split(":")[0].split(",")[0] for message in found] == [
        f"line {n}" for n in lines
    ]


@given(st.lists(VALUES, max_size=6), st.booleans())
def test_any_values_one_a_line_pass(values: list[Any], ended: bool) -> None:
    output = "\n".join(json.dumps(value) for value in values) + "\n" * (ended and bool(values))
    assert problems("json_lines", output.encode()) == []


@pytest.mark.parametrize("output", [b"", b"\x00", "海\n".encode(), b"\xef\xbb\xbfa", b"a\r"])
def test_text_is_any_utf_8(output: bytes) -> None:
    assert problems("text", output) == []


@pytest.mark.parametrize("output", [b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"\xe6\xb5"])
def test_text_names_the_byte_that_is_no_utf_8(output: bytes) -> None:
    (problem,) = problems("text", b"first\n" + output)
    assert problem.message.startswith(f"line 2: not UTF-8: the bytes {output.hex(' ')} at byte 6")


def test_a_format_that_is_not_there_is_a_failure() -> None:
    assert check(Format("of_nobody"), b"1").failed == "there is no format 'of_nobody' here"
