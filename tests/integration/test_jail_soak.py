"""Thousands of tasks in two jails, one in ten hostile: nothing grows. All of it in an outer box."""

from __future__ import annotations

import json
from typing import Any

import pytest
from box import HERE, MIB, Size, run_python
from jailed import JAIL_LEVELS
from outer_box import outer_box  # noqa: F401 (a fixture)

EQUAL = ("descriptors", "janitor_descriptors", "processes", "zombies", "groups", "mounts")
MEMORY = ("memory", "janitor_memory", "zygotes_memory")
GROWN = 12 * MIB

pytestmark = pytest.mark.usefixtures("outer_box")


def soak(tasks: int, level: str, size: Size) -> list[dict[str, Any]]:
    boxed = run_python(
        HERE / "soak_main.py", str(tasks), level, size=size, env={"PYTHONPATH": str(HERE)}
    )
    told = [json.loads(line) for line in boxed.stdout.splitlines()]
    wrong = [each["wrong"] for each in told if "wrong" in each]
    assert (boxed.code, boxed.late, wrong) == (0, False, []), (wrong[:5], boxed.stderr[-2000:])
    assert (boxed.processes, boxed.mounts, boxed.groups, boxed.gone) == ((), (), (), True), boxed
    return told


def grown(looks: list[dict[str, Any]]) -> list[str]:
    """Name what is more at the last look than at the first."""
    first, last = looks[0], looks[-1]
    found = [f"{name}: {first[name]} {last[name]}" for name in EQUAL if last[name] > first[name]]
    return found + [
        f"{name}: {first[name]} {last[name]}" for name in MEMORY if last[name] > first[name] + GROWN
    ]


def test_what_grows_is_named() -> None:
    look = dict.fromkeys((*EQUAL, *MEMORY), 1)
    assert grown([look, look]) == []
    assert grown([look, look | {"zombies": 2, "memory": 2}]) == ["zombies: 1 2"]
    assert len(grown([look, look | {"memory": GROWN + 2}])) == 1


@pytest.mark.parametrize("level", JAIL_LEVELS[:1])
def test_some_hundred_tasks_leave_all_as_it_was(level: str) -> None:
    looks = soak(300, level, Size(wall_s=60, memory=768 * MIB))
    assert len(looks) == 10
    assert grown(looks[2:]) == []


@pytest.mark.slow
@pytest.mark.parametrize("level", JAIL_LEVELS)
def test_ten_thousand_tasks_leave_all_as_it_was(level: str) -> None:
    looks = soak(10_000, level, Size(wall_s=400))
    assert grown(looks) == []
