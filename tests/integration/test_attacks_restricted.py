"""Hostile code against level `restricted`, in the outer box: what must hold without namespaces."""

from __future__ import annotations

import pytest
from attack_boxes import QUICK_SIZE, Told, run_attacks
from attack_list import QUICK
from outer_box import AS_ROOT, outer_box  # noqa: F401 (a fixture)

pytestmark = [pytest.mark.slow, AS_ROOT]
HOLDING = [attack.name for attack in QUICK if "restricted" in attack.holds]


@pytest.fixture(scope="module")
def told(outer_box: None) -> Told:  # noqa: F811
    return run_attacks("attack_subjects:restricted", "attack_list:QUICK", size=QUICK_SIZE)


@pytest.mark.parametrize("name", HOLDING)
def test_an_attack_fails_without_namespaces_too(told: Told, name: str) -> None:
    assert name in told.wrong, f"it did not come to this one: {told.boxed}"
    assert told.wrong[name] == [], told.wrong[name]
