from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.protocols.errors import ProtocolError
from runyard.protocols.limits import CODE_BYTES, Limits, limits_document
from runyard.protocols.messages import Ping, Run
from runyard.protocols.verbs import (
    FROM_CONTROLLER,
    FROM_WORKER,
    VERBS,
    check_sizes,
    decode,
    encode,
)

RUN: dict[str, Any] = {
    "attempt": "a.1", "language": "python", "limits": limits_document(Limits()), "lease": 10,
    "args": b"x\0", "env": b"A=1\0", "code": b"print(1)", "stdin": b"\x00\n\xff",
}  # fmt: skip


def test_a_message_comes_back_as_it_was_sent() -> None:
    run = Run(**RUN)
    assert decode(*encode(run)) == run


def test_payloads_do_not_stand_in_the_header() -> None:
    header, payloads = encode(Run(**RUN))
    assert "code" not in header
    assert payloads == [b"print(1)", b"\x00\n\xff", b"x\0", b"A=1\0"]


def test_unknown_keys_are_ignored_so_that_newer_peers_may_add_some() -> None:
    assert decode({"verb": "Ping", "later": [1]}, []) == Ping()


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempt": 5},
        {"attempt": "x" * 65},
        {"limits": []},
        {"language": None},
    ],
)
def test_a_malformed_field_is_a_protocol_error(wrong: dict[str, Any]) -> None:
    header, payloads = encode(Run(**RUN))
    with pytest.raises(ProtocolError, match="Run is malformed"):
        decode(header | wrong, payloads)


def test_a_missing_field_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="attempt"):
        decode({"verb": "Started"}, [])


def test_a_payload_that_is_too_large_fails_where_it_is_sent() -> None:
    with pytest.raises(ValueError, match=r"Run\.code"):
        encode(Run(**(RUN | {"code": b"x" * (CODE_BYTES + 1)})))


@pytest.mark.parametrize(
    "sizes",
    [None, [], [1], [1] * 6, [-1] * 4, [CODE_BYTES + 1, 0, 0, 0], [True] * 4, [1.0] * 4, ["1"] * 4],
)
def test_sizes_are_refused_before_a_byte_is_read(sizes: object) -> None:
    with pytest.raises(ProtocolError):
        check_sizes("Run", sizes)


def test_each_verb_has_a_direction_and_none_has_two_but_the_symmetric() -> None:
    both = FROM_CONTROLLER & FROM_WORKER
    assert set(VERBS) == FROM_CONTROLLER | FROM_WORKER
    assert both == {"Drain", "Ping", "Pong", "Error"}


@given(st.recursive(st.none() | st.floats() | st.text(), lambda x: st.lists(x, max_size=3)))
def test_no_json_value_of_a_field_gets_past_the_check_as_another_exception(value: object) -> None:
    for field in ("attempt", "wall_s", "max_rss_bytes", "limit", "stdout_truncated"):
        header = {
            "verb": "Result", "attempt": "a", "outcome": "success", "isolation": "none",
            "detail": "", field: value,
        }  # fmt: skip
        try:
            decode(header, [b"", b""])
        except ProtocolError:
            continue
