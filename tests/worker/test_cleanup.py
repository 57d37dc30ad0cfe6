from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runyard.worker.sandbox import cleanup
from runyard.worker.sandbox.cgroups import finding
from runyard.worker.sandbox.cleanup import clean_up
from runyard.worker.sandbox.instance import Instance

BASE, _ = finding.look()
FOLDERS = list(dict.fromkeys(BASE.folders.values()))


@pytest.fixture
def left(tmp_path: Path) -> Iterator[list[str]]:
    """Leave groups as a run that was killed would, with a process in them."""
    if os.geteuid() != 0 or not FOLDERS:
        pytest.skip("control groups cannot be made here")
    run = Instance(str(tmp_path))
    made = [f"{folder}/runyard-{run.id}-1" for folder in FOLDERS]
    sleeper = subprocess.Popen(["/bin/sleep", "600"])
    for folder, path in zip(FOLDERS, made, strict=True):
        run.note_base("cgroup", folder)
        run.note("cgroup", path)
        Path(path).mkdir()
        Path(path, "cgroup.procs").write_text(str(sleeper.pid))
    run.release()
    yield made
    sleeper.kill()
    sleeper.wait()
    for path in made:
        if Path(path).exists():
            Path(path).rmdir()


def instances(state: Path) -> list[Path]:
    return list((state / "instances").iterdir())


def test_what_an_ended_run_left_is_ended_removed_and_forgotten(
    tmp_path: Path, left: list[str]
) -> None:
    clean_up(str(tmp_path))
    assert not [path for path in left if Path(path).exists()]
    assert not instances(tmp_path)


def test_a_run_that_lives_keeps_what_it_has(tmp_path: Path) -> None:
    run = Instance(str(tmp_path))
    clean_up(str(tmp_path))
    assert [each.name for each in instances(tmp_path)] == [run.id]
    run.release()
    clean_up(str(tmp_path))
    assert not instances(tmp_path)


def test_what_does_not_go_stays_written_down_and_costs_some_seconds_at_most(
    tmp_path: Path, left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup, "clean", lambda path: False)
    monkeypatch.setattr(cleanup, "MOST_S", 0.05)
    began = time.monotonic()
    clean_up(str(tmp_path))
    assert time.monotonic() - began < 3
    assert len(instances(tmp_path)) == 1
    monkeypatch.undo()
    clean_up(str(tmp_path))
    assert not instances(tmp_path)


def test_nothing_that_is_no_group_is_touched(tmp_path: Path) -> None:
    run = Instance(str(tmp_path))
    folder = tmp_path / "mine" / "precious"
    folder.mkdir(parents=True)
    run.note_base("cgroup", str(tmp_path / "mine"))
    run.note("cgroup", str(folder))
    run.release()
    clean_up(str(tmp_path))
    assert folder.exists()
    assert len(instances(tmp_path)) == 1
