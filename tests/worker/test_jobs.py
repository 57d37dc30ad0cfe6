from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from fakes import deepen
from twisted.internet import reactor as installed

from runyard.worker import jobs
from runyard.worker.jobs import JobsFolder

reactor: Any = installed


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))


def made(state: Path) -> JobsFolder:
    folder = JobsFolder(reactor, state)
    folder.make()
    return folder


def test_nothing_is_made_before_it_is_asked_for(tmp_path: Path) -> None:
    folder = JobsFolder(reactor, tmp_path)
    with pytest.raises(RuntimeError):
        _ = folder.path
    assert list((tmp_path / "tmp").iterdir()) == []
    assert folder.remove().called


@pytest_twisted.ensureDeferred
async def test_the_folder_is_locked_while_it_is_used(tmp_path: Path) -> None:
    folder = made(tmp_path)
    descriptor = os.open(folder.path, os.O_RDONLY)
    with pytest.raises(BlockingIOError):  # as who cleans up by age tries it
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    await folder.remove()
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


@pytest_twisted.ensureDeferred
async def test_a_later_start_removes_what_was_written_down_and_nothing_else(tmp_path: Path) -> None:
    first = made(tmp_path)
    (first.path / "1").mkdir()
    deepen(first.path / "1", 1500)
    assert first.path.stat().st_mode & 0o777 == 0o711
    second = made(tmp_path)
    await second.cleaned
    assert not first.path.exists()
    assert second.path.exists()
    precious = tmp_path / "precious"
    precious.mkdir()
    link = tmp_path / "runyard-link"
    link.symlink_to(precious)
    (precious / "file").touch()
    (tmp_path / "jobs").write_text(f"{precious}\n{link}\nrunyard-relative\n{second.path}\n\0\n")
    third = made(tmp_path)
    await third.cleaned
    assert (precious / "file").exists(), "only folders of our own making"
    assert not second.path.exists()
    await third.remove()
    assert not third.path.exists()
    assert (tmp_path / "jobs").read_text() == f"{link}\n", "told, and kept for the next start"


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_removed_now_never_stops_a_start_or_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made(tmp_path)
    (first.path / "file").touch()
    (first.path / "file2").touch()
    monkeypatch.setattr(jobs, "REMOVE_S", 0.0)
    await first.remove()
    assert first.path.exists()
    monkeypatch.undo()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    second = made(tmp_path)
    await second.cleaned
    assert not first.path.exists()
    await second.remove()
    assert os.listdir(tmp_path / "tmp") == []
    assert not (tmp_path / "jobs").exists()
