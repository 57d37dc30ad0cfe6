"""Which cases of a table run in the quick suite; the others are slow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def quick_of(names: Iterable[str], *quick: str) -> list[Any]:
    """Give the names as parameters, those that are not named again marked as slow."""
    return [each if each in quick else pytest.param(each, marks=pytest.mark.slow) for each in names]
