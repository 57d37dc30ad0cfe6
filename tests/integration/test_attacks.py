"""Hostile code against the sandbox: a short selection, and all of it.

All attacks of a selection run in one outer box, in one sandbox of two slots (named `jail` in
attack_subjects.py); each is then a test of its own.
"""

from __future__ import annotations

import pytest
from attack_boxes import QUICK_SIZE, WHOLE_SIZE, Told, run_attacks
from attack_list import ATTACKS, QUICK
from box import NoBox
from outer_box import AS_ROOT, outer_box  # noqa: F401 (a fixture)

JAIL = "attack_subjects:jail"
NOBODY = 65534

pytestmark = AS_ROOT


@pytest.fixture(scope="module")
def quick(outer_box: None) -> Told:  # noqa: F811
    return run_attacks(JAIL, "attack_list:QUICK", size=QUICK_SIZE)


@pytest.fixture(scope="module")
def whole(outer_box: None) -> Told:  # noqa: F811
    return run_attacks(JAIL, "attack_list:ATTACKS", size=WHOLE_SIZE)


@pytest.fixture(scope="module")
def ordinary(outer_box: None) -> Told:  # noqa: F811
    try:
        return run_attacks(JAIL, "attack_list:ATTACKS", size=WHOLE_SIZE, uid=NOBODY)
    except NoBox as error:
        pytest.skip(str(error))


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


@pytest.mark.slow
@pytest.mark.parametrize("name", [attack.name for attack in ATTACKS])
def test_an_attack_fails_in_an_ordinary_user_s_sandbox(ordinary: Told, name: str) -> None:
    _right(ordinary, name)


@pytest.mark.slow
def test_the_attacks_leave_nothing_of_an_ordinary_user_s(ordinary: Told) -> None:
    _nothing_left(ordinary)
