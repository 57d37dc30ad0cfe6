from __future__ import annotations

import time
import tracemalloc
from urllib.parse import quote, quote_plus, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.protocols.limits import MIB
from runyard.sched.decoding import SLICE, decode_code, parse_pairs
from runyard.sched.errors import Kind, Refusal

PROGRAMS = [
    "print(1+1)", "'100%'", "a&b;c", "print('a+b')\n\tx = 1", "print('🦊 漫畫')", "x=1;y=2",
    "print('%41 %zz')", "# +\nprint('?#&=;')", 'print("%2B")', "if 1 :\r\n  pass",
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_arrives_unharmed_encoded_once_or_twice(program: str) -> None:
    for encoded in (quote_plus(program), quote(program), quote_plus(quote_plus(program))):
        once = parse_pairs(b"code=" + encoded.encode(), "query")["code"]
        assert decode_code(once, "auto").decode() == program


def test_the_rule_can_be_overridden_both_ways() -> None:
    assert decode_code(b"1+1", "auto") == b"1 1"
    assert decode_code(b"1+1", "once") == b"1+1"
    assert decode_code(b"print%281%29", "twice") == b"print(1)"
    with pytest.raises(Refusal, match="twice"):
        decode_code(b"print(1)", "twice")


@given(st.text(min_size=1))
def test_whatever_was_encoded_once_is_what_it_was_with_encoding_once(text: str) -> None:
    raw = parse_pairs(b"code=" + quote_plus(text).encode(), "query")["code"]
    assert decode_code(raw, "once").decode() == text


def test_only_the_ampersand_separates() -> None:
    assert parse_pairs(b"code=a;b=c;d&name=x", "query") == {"code": b"a;b=c;d", "name": b"x"}


@pytest.mark.parametrize(
    "broken", [b"code=100%", b"code=%zz", b"code=%4", b"co%dz=1", b"code=%u0041"]
)
def test_a_broken_escape_is_refused_never_guessed(broken: bytes) -> None:
    with pytest.raises(Refusal, match="two hex digits"):
        parse_pairs(broken, "query")


def test_two_spellings_of_a_field_are_refused_unless_they_agree() -> None:
    assert parse_pairs(b"code=%41&code=A", "query") == {"code": b"A"}
    with pytest.raises(Refusal, match="two different values"):
        parse_pairs(b"code=1&code=2", "query")


def test_fields_are_bounded_in_number() -> None:
    with pytest.raises(Refusal, match="at most"):
        parse_pairs(b"&".join(b"a%d=1" % n for n in range(65)), "query")


def test_a_name_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(Refusal, match="UTF-8"):
        parse_pairs(b"%ff=1", "query")


@pytest.mark.parametrize("shift", range(5))
def test_a_long_value_is_decoded_whole_wherever_it_is_cut(shift: int) -> None:
    raw = b"x" * shift + b"%41+%25%c3%a9" * (SLICE // 5)
    assert parse_pairs(b"code=" + raw, "form")["code"] == unquote_to_bytes(raw.replace(b"+", b" "))
    at = len(raw)
    with pytest.raises(Refusal, match=rf"at byte {at}\)"):
        parse_pairs(b"code=" + raw + b"%4", "form")


HUGE = {
    "separators": (b"&" * (32 * MIB), Kind.MALFORMED),
    "fields": (b"aa&" * (10 * MIB), Kind.MALFORMED),
    "escapes": (b"code=" + b"%41" * (10 * MIB), Kind.TOO_LARGE),
    "option": (b"timeout=" + b"%31" * (10 * MIB), Kind.TOO_LARGE),
    "name": (b"%41" * (10 * MIB) + b"=1", Kind.MALFORMED),
    "percents": (b"code=" + b"%" * (32 * MIB - 5), Kind.TOO_LARGE),
    "plus": (b"code=" + b"+" * (32 * MIB - 5), Kind.TOO_LARGE),
}


@pytest.mark.parametrize("name", HUGE)
def test_a_huge_form_is_refused_before_it_is_decoded(name: str) -> None:
    raw, kind = HUGE[name]
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(Refusal) as caught:
        parse_pairs(raw, "form")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.kind is kind
    assert len(caught.value.document()) < 1000
    assert peak < 80 * MIB
    assert time.process_time() - began < 1


def test_the_largest_code_decodes_in_bounded_memory() -> None:
    raw = b"code=" + b"%41" * MIB
    tracemalloc.start()
    assert parse_pairs(raw, "form") == {"code": b"A" * MIB}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * MIB
