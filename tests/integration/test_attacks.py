"""Hostile code against the sandbox: a short selection, and all of it.

All attacks of a selection run in one outer box, in one sandbox of two slots (named `jail` in
attack_subjects.py); each is then a test of its own.
"""

from __future__ import annotations

import attack_subjects
import pytest
from attack_boxes import QUICK_SIZE, WHOLE_SIZE, Told, run_attacks
from attack_list import ATTACKS, QUICK
from outer_box import outer_box  # noqa: F401 (a fixture)

JAIL = "attack_subjects:jail"

pytestmark = pytest.mark.skipif(
    not hasattr(attack_subjects, "jail"), reason="there is no jail to attack yet"
)


@pytest.fixture(scope="module")
def quick(outer_box: None) -> Told:  # noqa: F811
    return run_attacks(JAIL, "attack_list:QUICK", size=QUICK_SIZE)


@pytest.fixture(scope="module")
def whole(outer_box: None) -> Told:  # noqa: F811
    return run_attacks(JAIL, "attack_list:ATTACKS", size=WHOLE_SIZE)


def _right(told: Told, name: str) -> None:
    assert name in told.wrong, f"it did not come to this one: {told.boxed}"
    assert told.wrong[name] == [], told.wrong[name]


def _nothing_left(told: Told) -> None:
    boxed = told.boxed
    assert (boxed.code, boxed.late, boxed.gone) == (0, False, True), boxed
    assert (boxed.processes, boxed.mounts, boxed.groups) == ((), (), ()), boxed


@pytest.mark.parametrize("name", [attack.name for attack in QUICK])
def test_an_attack_of_the_short_selection_fails(quick: Told, name: str) -> None:
    _right(quick, name)


def test_the_short_selection_leaves_nothing(quick: Told) -> None:
    _nothing_left(quick)


@pytest.mark.slow
@pytest.mark.parametrize("name", [attack.name for attack in ATTACKS])
def test_an_attack_fails(whole: Told, name: str) -> None:
    _right(whole, name)


@pytest.mark.slow
def test_the_attacks_leave_nothing(whole: Told) -> None:
    _nothing_left(whole)
