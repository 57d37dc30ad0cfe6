from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from runyard.worker.sandbox.jail.rehearsal import (
    ENTRY,
    EXCLUSIVE,
    GAP,
    PAGE,
    PRESENT,
    ranges,
)

OURS = PRESENT | EXCLUSIVE | 1234
START = 0x7F0000000000


def entries(of: Iterable[int]) -> bytes:
    return b"".join(each.to_bytes(ENTRY, "little") for each in of)


def test_pages_that_are_a_process_s_own_are_joined() -> None:
    shared, absent = PRESENT | 7, EXCLUSIVE
    given = [OURS, OURS, shared, OURS, absent, absent, absent, OURS]
    assert ranges(START, entries(given)) == [(START, 4 * PAGE), (START + 7 * PAGE, PAGE)]
    assert ranges(START, entries([shared, absent, 0])) == []
    assert ranges(START, b"") == []


@given(st.lists(st.booleans(), max_size=60))
def test_ranges_hold_every_own_page_and_begin_and_end_with_one(own: list[bool]) -> None:
    found = ranges(START, entries(OURS if each else 0 for each in own))
    within: set[int] = set()
    last = -GAP - 2
    for start, length in found:
        first, count = (start - START) // PAGE, length // PAGE
        assert own[first]
        assert own[first + count - 1]
        assert first - last > GAP + 1
        within |= set(range(first, first + count))
        last = first + count - 1
    assert {n for n, each in enumerate(own) if each} <= within
    assert sum(1 for n in within if not own[n]) <= max(0, len(within) - 1)
