"""Files into a folder and out of it, by the module that jails and helpers share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runyard.protocols import files as protocol
from runyard.protocols.files import File, Files, pack, unpack
from runyard.protocols.limits import FILES_BYTES, MIB
from runyard.worker.sandbox import collecting
from runyard.worker.sandbox.inputs import Found, make_inputs, memory_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "task"
    made.mkdir()
    (made / "main.py").write_text("the program")
    return made


class Both:
    """A memory file with given files, put into a folder, and what is collected there."""

    def __init__(self, folder: Path, given: tuple[File, ...] = ()) -> None:
        self.folder = str(folder)
        self.size = len(pack(given))
        self.descriptor = memory_file(pack(given))
        collecting.place(self.folder, self.descriptor)

    def collect(self, most_file: int = FILES_BYTES, *, release: bool = False) -> Files:
        collecting.Collection(self.descriptor, most_file, release).collect(self.folder)
        found = Found(self.descriptor, self.size)
        os.close(self.descriptor)
        return found.take()


@pytest.fixture
def quiet() -> Iterator[None]:
    before = os.listdir("/proc/self/fd")
    yield
    assert len(os.listdir("/proc/self/fd")) == len(before), "every descriptor is closed"


def test_the_bounds_are_those_of_the_protocol() -> None:
    ours = [collecting.MOST_FILES, collecting.MOST_NAME, collecting.MOST_DEPTH]
    assert ours == [protocol.MOST_FILES, protocol.MOST_NAME, protocol.MOST_DEPTH]
    assert collecting.MOST_BYTES == FILES_BYTES
    assert collecting.MOST_LEFT_OUT + 1 == protocol.MOST_LEFT_OUT


@pytest.mark.usefixtures("quiet")
def test_what_was_given_and_is_unchanged_does_not_come_back(folder: Path) -> None:
    given = (File("a", b"1" * 300_000), File("d/b", b""), File("d/c", b"3"))
    both = Both(folder, given)
    assert both.collect() == Files()


@pytest.mark.parametrize("release", [False, True])
def test_every_length_comes_back_byte_for_byte_holes_too(folder: Path, release: bool) -> None:
    chunk = collecting.CHUNK
    content = {
        f"{size}": os.urandom(size) for size in (0, 1, chunk - 1, chunk, chunk + 1, 3 * chunk)
    }
    content["hole"] = bytes(2 * chunk) + b"x" + bytes(chunk)
    content["end"] = b"x" + bytes(chunk)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    found = Both(folder).collect(release=release)
    assert {each.name: each.content for each in found.files} == content
    left = sum((folder / name).stat().st_size for name in content)
    assert left == (0 if release else sum(map(len, content.values())))


def test_a_changed_file_of_the_same_size_comes_back(folder: Path) -> None:
    both = Both(folder, (File("a", b"x" * 600_000), File("b", b"1")))
    with (folder / "a").open("r+b") as file:
        file.seek(599_999)
        file.write(b"y")
    (found,) = both.collect().files
    assert (found.name, found.content[-2:]) == ("a", b"xy")


def test_what_is_too_large_or_too_much_is_named_and_the_rest_is_taken(folder: Path) -> None:
    for name, size in (("a", 10 * MIB), ("b", 7 * MIB), ("c", 5 * MIB), ("d", 100)):
        with (folder / name).open("wb") as file:
            file.truncate(size)
    found = Both(folder).collect(most_file=9 * MIB)
    assert [each.name for each in found.files] == ["b", "c", "d"]
    assert found.left_out == ("a",)


def test_bytecode_links_and_the_program_are_no_files_of_the_task(folder: Path) -> None:
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "lib.pyc").write_text("x")
    (folder / "main.py").write_text("changed")
    (folder / "link").symlink_to("main.py")
    (folder / "d").mkdir()
    (folder / "d" / "main.py").write_text("another")
    assert Both(folder).collect() == Files((File("d/main.py", b"another"),))


def test_a_given_file_takes_the_place_of_a_link_and_is_not_written_through_it(
    folder: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("the operator's")
    (folder / "data").symlink_to(outside)
    (folder / "x").symlink_to(outside / "x")
    Both(folder, (File("data/x", b"given"), File("x", b"given"))).collect()
    assert (outside / "x").read_text() == "the operator's"
    assert (folder / "data" / "x").read_bytes() == (folder / "x").read_bytes() == b"given"


def test_a_walk_ends_at_its_time_and_at_its_count(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        (folder / f"f{number}").touch()
    monkeypatch.setattr(collecting, "MOST_ENTRIES", 10)
    found = Both(folder).collect()
    assert found.files == ()
    assert found.left_out[0] == "./"
    monkeypatch.setattr(collecting, "MOST_S", -1.0)
    assert Both(folder).collect().left_out[0] == "./"


def test_without_room_for_a_file_it_is_left_out_and_the_others_stay(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a").write_text("1")
    (folder / "b").write_text("22")
    real = os.pwrite

    def pwrite(descriptor: int, data: bytes, at: int) -> int:
        if data == b"22":
            raise OSError("no memory")
        return real(descriptor, data, at)

    both = Both(folder)
    monkeypatch.setattr(os, "pwrite", pwrite)
    assert both.collect() == Files((File("a", b"1"),), ("b",))


def test_a_forged_memory_file_is_nothing_with_a_line_in_the_log() -> None:
    for forged in (b"../x\x001\0y", b"x\x009\0y", b"\0", b"x\0-"):
        descriptor = memory_file(forged)
        assert Found(descriptor, 0).take() == Files()
        os.close(descriptor)


@pytest.mark.usefixtures("quiet")
def test_inputs_hold_what_they_are_given_and_close_it() -> None:
    inputs = make_inputs(b"o", b"c", b"s", "/task", pack([File("a", b"1")]))
    *_, files = inputs.descriptors([7, 8])
    assert unpack(os.pread(files, 100, 0)).files == (File("a", b"1"),)
    assert inputs.descriptors([7, 8])[3:5] == [7, 8]
    inputs.close()


def test_the_sum_of_what_a_collection_holds_at_a_time_stays_small(folder: Path) -> None:
    """Where pages count, a file that was taken is empty before the next is opened."""
    for name in "abc":
        (folder / name).write_bytes(os.urandom(MIB))
    both = Both(folder)
    seen: list[int] = []
    taken: Any = collecting.Collection(both.descriptor, MIB, True)
    real = taken._pack

    def look(handle: int, path: bytes, size: int) -> None:
        seen.append(sum((folder / name).stat().st_size for name in "abc"))
        real(handle, path, size)

    taken._pack = look
    taken.collect(str(folder))
    os.close(both.descriptor)
    assert seen == [3 * MIB, 2 * MIB, MIB]
