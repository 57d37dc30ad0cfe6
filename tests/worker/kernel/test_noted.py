"""Calls that are noted first and made later."""

from __future__ import annotations

import ctypes
import os
import stat
from pathlib import Path

import pytest
from kernels import files, mounts, syscalls


def test_what_is_noted_is_made_later_and_as_often_as_wanted() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with syscalls.Noted() as calls:
        assert syscalls.call("write", writing, b"ab", 2) == 0
        assert syscalls.call("write", writing, b"c", 1) == 0
    with pytest.raises(BlockingIOError):
        os.read(reading, 9)
    calls.make()
    calls.make()
    assert os.read(reading, 9) == b"abcabc"
    assert syscalls.call("write", writing, b"now", 3) == 3, "what follows is made at once again"
    os.close(reading)
    os.close(writing)


def test_a_result_goes_to_a_later_call(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    before = os.listdir("/proc/self/fd")
    with syscalls.Noted() as calls:
        files.write(str(target), "new")
    assert target.read_text() == "old"
    calls.make()
    assert target.read_text() == "new"
    files.write(str(target), "own")
    assert target.read_text() == "own"
    assert os.listdir("/proc/self/fd") == before


def test_a_number_of_c_s_anywhere_takes_a_result(tmp_path: Path) -> None:
    buffer = ctypes.create_string_buffer(b"\0" * 12, 12)
    inner = ctypes.c_int.from_buffer(buffer, 8)
    files.opened(str(tmp_path), os.O_PATH, inner)
    descriptor = int.from_bytes(buffer.raw[8:], "little")
    assert os.readlink(f"/proc/self/fd/{descriptor}") == str(tmp_path)
    files.close(inner)


def test_the_first_that_fails_is_named_and_the_rest_is_not_made(tmp_path: Path) -> None:
    with syscalls.Noted() as calls:
        files.make_folder(str(tmp_path / "a"), 0o1777)
        mounts.mount("tmpfs", str(tmp_path / "no"), "tmpfs")
        files.make_folder(str(tmp_path / "b"), 0o700)
    with pytest.raises(OSError, match=f"mount tmpfs on {tmp_path}/no"):
        calls.make()
    assert os.listdir(tmp_path) == ["a"]
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o1777


def test_what_cannot_be_noted_is_not_half_noted() -> None:
    with pytest.raises(ValueError, match="a NUL in"), syscalls.Noted() as calls:
        files.enter("/a\0b")
    assert calls.steps == []
    assert syscalls.call("getpid") == os.getpid()


def test_links_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    files.link("/to/this", str(tmp_path / "link"))
    files.enter(str(tmp_path))
    assert os.readlink("link") == "/to/this"
