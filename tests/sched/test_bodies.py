"""Multipart, large JSON, and an operator's limits."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.protocols.limits import CODE_BYTES, MIB, RANGES, Limits
from runyard.sched.admission import Policy, admit_body
from runyard.sched.bodies import read_body
from runyard.sched.errors import Kind, Refusal
from runyard.sched.jsontext import LARGE_BYTES, MOST_NAMES, MOST_VALUES, dump_json, parse_json
from runyard.sched.limits import LimitPolicy

TYPE = "multipart/form-data; boundary=XX"


def part(name: str, value: bytes, extra: str = "") -> bytes:
    head = f'--XX\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'
    return head.encode() + value + b"\r\n"


END = b"--XX--\r\n"
CODE = b"print('a;b&c%41+')\r\n\xff\x00x"


def test_a_multipart_form_brings_the_code_to_the_byte_as_a_field_or_a_file() -> None:
    for extra in ("", '; filename="main.py"\r\nContent-Type: text/x-python'):
        read = read_body(part("code", CODE, extra) + part("timeout", b"2") + END, TYPE, b"")
        assert (read.code, read.fields) == (CODE, {"timeout": b"2"})


@pytest.mark.parametrize("cut", [1, 4, 8, 20, 60])
def test_a_multipart_form_that_was_cut_is_refused_not_run_shortened(cut: int) -> None:
    whole = part("timeout", b"2") + part("code", b"print(1)\nprint(2)") + END
    with pytest.raises(Refusal) as caught:
        read_body(whole[:-cut] if cut > 2 else whole[: -cut - 2], TYPE, b"")
    assert caught.value.kind is Kind.MALFORMED


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (part("code", b"1") + part("code", b"2") + END, TYPE),
        (part("timeout", b"1") + END, TYPE),
        (b"--XX\r\n\r\nx\r\n" + END, TYPE),
        (b'--XX\r\nContent-Disposition: attachment; name="code"\r\n\r\nx\r\n' + END, TYPE),
        (b"", TYPE),
        (part("code", b"1") + END, "multipart/form-data"),
        (part("code", b"1") + END, "multipart/form-data; boundary=" + "x" * 71),
        (b"".join(part(f"f{n}", b"1") for n in range(70)) + END, TYPE),
    ],
)
def test_odd_multipart_forms_are_refused(body: bytes, media: str) -> None:
    with pytest.raises(Refusal) as caught:
        read_body(body, media, b"")
    assert caught.value.kind is Kind.MALFORMED


@pytest.mark.parametrize(
    ("name", "size"), [("code", CODE_BYTES + 1), ("timeout", 65_537), ("other", 30 * MIB)]
)
def test_a_part_larger_than_its_value_may_be_is_413(name: str, size: int) -> None:
    with pytest.raises(Refusal, match=name) as caught:
        read_body(part(name, b"\r\n--XY" * (size // 6 + 1)) + END, TYPE, b"")
    assert caught.value.kind is Kind.TOO_LARGE


@pytest.mark.parametrize("rest", [";" * 60_000, "; a=b" * 10_000, '; x="' + '\\"' * 25_000])
def test_a_content_type_of_great_length_is_not_read(rest: str) -> None:
    with pytest.raises(Refusal) as caught:
        read_body(b"x", f"text/plain{rest}", b"")
    assert caught.value.kind is Kind.MEDIA_TYPE


@pytest.mark.parametrize("last", ['"n8099"', '"other"'])
def test_an_object_of_very_many_names_is_refused_at_once(last: str) -> None:
    many = ",".join(f'"n{n}":0' for n in range(8100))
    began = time.process_time()
    with pytest.raises(Refusal, match=str(MOST_NAMES)):
        parse_json(f"{{{many},{last}:1}}".encode())
    assert time.process_time() - began < 0.1
    few = ",".join(f'"n{n}":0' for n in range(MOST_NAMES - 1))
    assert len(parse_json(f'{{{few},"other":1}}'.encode())) == MOST_NAMES
    with pytest.raises(Refusal, match="the name twice"):
        parse_json(f'{{{few},"n{MOST_NAMES - 2}":1}}'.encode())


@pytest.mark.parametrize("media", ["text/x-python", "application/json", TYPE])
def test_a_charset_that_is_not_utf8_is_named(media: str) -> None:
    with pytest.raises(Refusal, match="latin-1") as caught:
        read_body(b"x", f"{media}; charset=latin-1", b"")
    assert caught.value.kind is Kind.MEDIA_TYPE


def test_a_large_body_is_parsed_as_a_small_one_is() -> None:
    document = {
        "code": "x" * LARGE_BYTES, "a": [1, 2.5, True, None, {"b": "\u2028é"}], "n": {"m": []},
    }  # fmt: skip
    assert parse_json(json.dumps(document).encode()) == document
    assert parse_json(json.dumps(document, indent=2, ensure_ascii=False).encode()) == document
    padding = " " * LARGE_BYTES
    for wrong in (
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        "[" * 10_000,
        '{"a" 1}',
        "[1,]",
        '{"a": "x',
        "9" * 500,
    ):
        with pytest.raises(Refusal):
            parse_json((padding + wrong).encode())


@pytest.mark.parametrize("value", ["[]", "{}", "1", "null", '""', "[[]]"])
def test_a_body_of_very_many_values_is_refused_before_it_fills_the_memory(value: str) -> None:
    body = "[" + ",".join([value] * (MIB // len(value))) + "]"
    began = time.process_time()
    with pytest.raises(Refusal, match=str(MOST_VALUES)):
        parse_json(body.encode())
    assert time.process_time() - began < 2.0


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none() | st.lists(st.text())))
def test_documents_are_written_as_the_standard_library_reads_them(
    document: dict[str, object],
) -> None:
    assert json.loads(dump_json(document)) == document


def test_long_texts_are_written_whole_wherever_they_are_cut() -> None:
    text = ('"\\\x00\u2028é🦊\n' * 200_000)[: 1_048_576 + 3]
    assert json.loads(dump_json({"stdout": text, "n": 1})) == {"stdout": text, "n": 1}
    assert dump_json({}) == b"{}\n"


def test_an_operator_sets_defaults_and_maxima_within_the_contract() -> None:
    policy = LimitPolicy().with_option("wall_s=3:20").with_option("processes=8")
    assert policy.apply({}).wall_s == 3
    assert policy.apply({"wall_s": 20}).wall_s == 20
    assert policy.apply({"processes": 200}) == Limits(wall_s=3, processes=200)
    strict = Policy(frozenset({"python"}), limits=policy)
    with pytest.raises(Refusal, match=r"0\.01 to 20") as caught:
        admit_body(b'{"code": "1", "timeout": 21}', "application/json", b"", strict)
    assert [p.name for p in caught.value.problems] == ["timeout"]
    for wrong in ("wall=1", "wall_s=", "wall_s=0", "wall_s=5:4", "wall_s=1:301", "wall_s=nan", "x"):
        with pytest.raises(ValueError, match=r"\w"):
            policy.with_option(wrong)
    assert LimitPolicy().ranges == RANGES
