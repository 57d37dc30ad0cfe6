"""From what a process left behind its input to a record: whatever it is."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.protocols.inspected import checked
from runyard.worker.inspect import MOST_FRAMES, caught_in, raised

RECORD = b'{"type":"E","message":"m","frames":[{"file":"main.py","line":7}]}'
CODE = b"import time\ndef f():\n    time.sleep(9)\nf()\n"
TRACE = (
    b"Thread 0x00007f05 (most recent call first):\n"
    b'  File "/usr/lib/threading.py", line 9 in wait\n'
    b"\n"
    b"Current thread 0x00007f06 (most recent call first):\n"
    b'  File "main.py", line 3 in f\n'
    b'  File "main.py", line 4 in <module>\n'
)


def test_the_last_line_that_is_a_record_counts() -> None:
    told = b"noise\n" + RECORD.replace(b'"E"', b'"Old"') + b"\n\n" + RECORD + b"\nnoise\n\n"
    record = raised(told)
    assert record is not None
    assert (record["type"], record["line"]) == ("E", 7)


@pytest.mark.parametrize(
    "told", [b"", b"\n\n", b"{}", b"{", b"noise", b" " + RECORD, RECORD + b"\n{no", RECORD[:-1]]
)
def test_what_is_no_record_is_none(told: bytes) -> None:
    assert raised(told) is None


def test_the_line_is_the_innermost_of_the_program_s_own_file() -> None:
    frames = [
        {"file": "main.py", "line": 4}, {"file": "main.py", "line": 2},
        {"file": "/lib/json.py", "line": 99},
    ]  # fmt: skip
    record = raised(json.dumps({"type": "E", "frames": frames}).encode())
    assert record is not None
    assert record["line"] == 2
    outside = raised(json.dumps({"type": "E", "frames": frames[2:], "line": 8}).encode())
    assert outside is not None
    assert outside["line"] == 8, "what was told stays where we know no better"


def test_a_syntax_error_s_line_is_where_the_syntax_is_wrong() -> None:
    record = raised(b'{"type":"SyntaxError","frames":[],"filename":"main.py","lineno":5}')
    assert record is not None
    assert record["line"] == 5
    other = raised(b'{"type":"SyntaxError","frames":[],"filename":"other.py","lineno":5}')
    assert other is not None
    assert "line" not in other


def test_a_trace_is_of_the_main_thread_and_innermost_last() -> None:
    record = caught_in(TRACE, CODE, "It ran too long.")
    assert record == {
        "type": "Timeout",
        "message": "It ran too long.",
        "line": 3,
        "frames": [
            {"file": "main.py", "line": 4, "function": "<module>", "source": "f()"},
            {"file": "main.py", "line": 3, "function": "f", "source": "time.sleep(9)"},
        ],
    }


def test_a_trace_of_another_version_s_form_is_read_too() -> None:
    named = TRACE.replace(b"0x00007f06 (", b"0x00007f06 [python3] (")
    assert caught_in(named, CODE, "") == caught_in(TRACE, CODE, "")


@pytest.mark.parametrize(
    "frame",
    [
        b'  File "main.py", line 99999999999999999999 in f',
        b'  File "main.py", line 0 in f',
        b'  File "main.py", line 4000 in f',
        b'  File "\xff\xfe", line 3 in \xff',
    ],
)
def test_a_forged_place_names_no_source(frame: bytes) -> None:
    record = caught_in(frame, CODE, "")
    assert record is not None
    assert [each["source"] for each in record["frames"]] == [""]
    assert checked(record) == record


def test_no_trace_is_none_whatever_else_was_told() -> None:
    assert caught_in(b"", CODE, "") is None
    assert caught_in(RECORD, CODE, "") is None
    assert caught_in(b'File "main.py", line 3 in f', CODE, "") is None


def test_a_trace_s_frames_are_bounded() -> None:
    record = caught_in(b'  File "main.py", line 3 in f\n' * 2000, CODE, "")
    assert record is not None
    assert len(record["frames"]) == MOST_FRAMES
    assert checked(record) == record


PARTS = [*TRACE.splitlines(), RECORD, b"{", b"\xff", b'"', b", line 3 in "]


@given(st.lists(st.sampled_from(PARTS)))
def test_any_mixture_is_a_record_of_known_form_or_nothing(parts: list[bytes]) -> None:
    for told in (b"\n".join(parts), b"".join(parts)):
        for record in (raised(told), caught_in(told, CODE, "x")):
            assert record is None or checked(record) == record


@pytest.mark.parametrize(
    "piece", [b'  File "', b'", line 1', b'  File "x", line 11111', b"Thread 0xaa", b"{", b"\n"]
)
def test_what_is_made_to_be_slow_is_read_at_once(piece: bytes) -> None:
    told = (piece * (64 * 1024))[: 64 * 1024]
    began = time.process_time()
    raised(told)
    caught_in(told, CODE, "")
    assert time.process_time() - began < 0.5
