from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from twisted.python.usage import UsageError

from runyard.daemon.folders import FolderUnusable, HeldFolder
from runyard.daemon.keys import (
    CONTROLLER_KEY,
    CONTROLLER_PUBLIC,
    FLEET_SECRET,
    KeyFileError,
    make_keys,
    read_private,
    read_public,
    read_secret,
)
from runyard.daemon.options import seconds, task_files, whole


def test_keys_are_made_once_and_only_we_can_read_the_secret_ones(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    make_keys(folder)
    before = {name: (folder / name).read_bytes() for name in os.listdir(folder)}
    assert set(before) == {CONTROLLER_KEY, CONTROLLER_PUBLIC, FLEET_SECRET}
    make_keys(folder)
    assert before == {name: (folder / name).read_bytes() for name in os.listdir(folder)}
    assert (folder / CONTROLLER_KEY).stat().st_mode & 0o777 == 0o600
    assert (folder / FLEET_SECRET).stat().st_mode & 0o777 == 0o600
    private, public = read_private(folder / CONTROLLER_KEY), read_public(folder / CONTROLLER_PUBLIC)
    public.verify(private.sign(b"x"), b"x")
    assert len(read_secret(folder / FLEET_SECRET)) == 32


@pytest.mark.parametrize(
    ("name", "reader"), [(CONTROLLER_KEY, read_private), (FLEET_SECRET, read_secret)]
)
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, name: str, reader: Any) -> None:
    make_keys(tmp_path)
    (tmp_path / name).chmod(0o644)
    with pytest.raises(KeyFileError, match="others may read it"):
        reader(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\xff\x00", b"-----BEGIN PRIVATE KEY-----"])
def test_a_file_that_is_no_key_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "k"
    path.write_bytes(content)
    path.chmod(0o600)
    readers: list[Any] = [read_private, read_public, read_secret]
    for reader in readers:
        with pytest.raises(KeyFileError, match=str(path)):
            reader(path)
        with pytest.raises(KeyFileError, match="No such file"):
            reader(tmp_path / "missing")


def test_a_folder_has_one_holder_and_is_free_after_it(tmp_path: Path) -> None:
    first = HeldFolder(tmp_path / "s", "scheduler")
    with pytest.raises(FolderUnusable, match="another scheduler holds it"):
        HeldFolder(tmp_path / "s", "scheduler")
    first.release()
    first.release()
    HeldFolder(tmp_path / "s", "scheduler").release()
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderUnusable, match="state folder"):
        HeldFolder(tmp_path / "file", "worker")


@pytest.mark.parametrize("text", ["", "-1", "0", "11", "1.5", "x", "\u0661", " 3"])
def test_a_number_out_of_its_range_is_told_with_the_range(text: str) -> None:
    with pytest.raises(ValueError, match=r"--slots must be a whole number, 1 to 10"):
        whole("slots", 1, 10)(text)
    assert whole("slots", 1, 10)("7") == 7


@pytest.mark.parametrize("text", ["", "nan", "inf", "-1", "x", "100"])
def test_seconds_too(text: str) -> None:
    with pytest.raises(ValueError, match="--silence must be seconds"):
        seconds("silence", 0, 10)(text)
    assert seconds("silence", 0, 10)("2.5") == 2.5


def test_task_files_are_listed_by_their_absolute_paths(tmp_path: Path) -> None:
    (tmp_path / "b.js").write_text("")
    (tmp_path / "a.js").write_text("")
    assert task_files(str(tmp_path)) == (
        ("a.js", str(tmp_path / "a.js")),
        ("b.js", str(tmp_path / "b.js")),
    )
    assert task_files(None) == ()
    with pytest.raises(UsageError, match="--task-files"):
        task_files(str(tmp_path / "missing"))
