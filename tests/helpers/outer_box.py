"""The fixture that every test of hostile code takes: no box, no attack."""

from __future__ import annotations

import os
from functools import cache

import pytest
from attack_boxes import QUICK_SIZE
from box import NoBox
from box_canary import demand

AS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0, reason="an attack's outer box has a memory group, which root makes"
)


@cache
def _wrong() -> BaseException | None:
    try:
        demand(QUICK_SIZE)
    except (NoBox, AssertionError) as error:
        return error
    return None


@pytest.fixture(scope="session")
def outer_box() -> None:
    """Prove by a harmless canary, once, that an outer box holds; skip where there can be none."""
    wrong = _wrong()
    if isinstance(wrong, NoBox):
        pytest.skip(f"no outer box can be made here: {wrong}")
    if wrong is not None:
        raise wrong
