from __future__ import annotations

import pytest

from runyard.worker.sandbox.levels import (
    FULL,
    LEVELS,
    NAMESPACES,
    NONE,
    RESTRICTED,
    Probe,
    TooLittleIsolation,
    choose,
)

WHY = {FULL: "no groups: read-only", NAMESPACES: "no namespaces: forbidden"}


def probe(*proven: str) -> Probe:
    return Probe(frozenset(proven), {k: v for k, v in WHY.items() if k not in proven}, {})


def test_the_best_that_was_proven_is_chosen() -> None:
    assert choose(probe(*LEVELS), NAMESPACES) == FULL
    assert choose(probe(NAMESPACES, NONE), NAMESPACES) == NAMESPACES
    assert choose(probe(NONE), NONE) == NONE


def test_one_that_is_wanted_is_chosen_where_it_was_proven_and_is_enough() -> None:
    assert choose(probe(*LEVELS), NAMESPACES, NAMESPACES) == NAMESPACES
    assert choose(probe(*LEVELS), NONE, NONE) == NONE
    for least, wanted in ((NAMESPACES, RESTRICTED), (FULL, NAMESPACES), (NAMESPACES, NONE)):
        with pytest.raises(TooLittleIsolation):
            choose(probe(*LEVELS), least, wanted)
    with pytest.raises(TooLittleIsolation, match="no groups: read-only"):
        choose(probe(NAMESPACES, NONE), NAMESPACES, FULL)


def test_less_than_the_least_is_refused_with_what_stops_it_and_the_ways_out() -> None:
    with pytest.raises(TooLittleIsolation) as caught:
        choose(probe(NAMESPACES, NONE), FULL)
    assert str(caught.value).startswith("no groups: read-only\n")
    assert "--min-isolation namespaces, or --allow-unsandboxed" in str(caught.value)
    with pytest.raises(TooLittleIsolation) as caught:
        choose(probe(NONE), NAMESPACES)
    assert str(caught.value).startswith("no namespaces: forbidden\n")
    assert "--min-isolation" not in str(caught.value)
