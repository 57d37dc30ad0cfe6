"""A sandbox of jails whose slots cannot be made, and what is told of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from slots import INTERPRETERS
from twisted.internet.task import Clock

from runyard.worker.sandbox.jail import sandbox
from runyard.worker.sandbox.jail.making import JailPlan


class CountedMeters:
    """Makes groups that only count themselves."""

    def __init__(self) -> None:
        self.made = self.removed = 0
        self.paths = ["/group"]

    def make(self) -> CountedMeters:
        self.made += 1
        return self

    def remove(self) -> None:
        self.removed += 1


def failing(*args: Any, **more: Any) -> Any:
    raise OSError("no descriptor is free")


@pytest.mark.parametrize("where", ["plan", "meter", "socket", "janitor"])
def test_a_slot_that_cannot_be_made_leaves_no_group(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    meters: Any = CountedMeters()
    jobs: Any = None
    made = sandbox.JailSandbox(Clock(), 1, jobs, JailPlan(INTERPRETERS), meters)
    at: dict[str, tuple[Any, str]] = {
        "plan": (JailPlan, "zygote"), "meter": (meters, "make"),
        "socket": (sandbox, "Slot"), "janitor": (made.janitor, "start_zygote"),
    }  # fmt: skip
    monkeypatch.setattr(*at[where], failing)
    for _ in range(3):
        with pytest.raises(OSError, match="no descriptor"):
            made._slot(0, made.pool, False)
    assert meters.made == meters.removed == (0 if where in ("plan", "meter") else 3)


def test_files_that_come_later_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "b.js").write_text("")
    (tmp_path / "a.js").write_text("")
    plan = JailPlan(INTERPRETERS, str(tmp_path))
    (tmp_path / "main.py").write_text("")
    (tmp_path / "a.js").unlink()
    assert plan.zygote(0)["files"] == ["a.js", "b.js"]
    tmp_path.joinpath("b.js").unlink()
    tmp_path.joinpath("main.py").unlink()
    tmp_path.rmdir()
    assert plan.zygote(1)["files"] == ["a.js", "b.js"]
