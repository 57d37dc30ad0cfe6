"""Trees that tasks leave, and what the removal makes of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import deepen

from runyard.worker.sandbox import removal

ALWAYS: Callable[[], bool] = lambda: True  # noqa: E731
DEPTH = 1500


@pytest.mark.parametrize("shape", ["deep", "wide", "both", "empty", "odd names"])
def test_a_tree_of_any_shape_goes_with_few_descriptors(tmp_path: Path, shape: str) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    if shape in ("deep", "both"):
        deepen(victim, DEPTH)
    if shape in ("wide", "both"):
        for number in range(300):
            (victim / f"{number}").mkdir()
            for inner in range(10):
                (victim / f"{number}" / f"{inner}").write_text("")
    if shape == "odd names":
        for name in (b"\xff\xfe", b"a\nb", b" ", b"x" * 255):
            os.mkdir(os.fsencode(victim) + b"/" + name)
            Path(os.fsdecode(os.fsencode(victim) + b"/" + name + b"/f")).touch()
    before = len(os.listdir("/proc/self/fd"))
    most = steps = 0

    def count() -> bool:
        nonlocal most, steps
        steps += 1
        if steps % 50 == 1:
            most = max(most, len(os.listdir("/proc/self/fd")))
        return True

    assert removal.remove(str(victim), count)
    assert most <= before + 4
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_nothing_is_reached_by_a_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep")
    victim = tmp_path / "victim"
    (victim / "inner").mkdir(parents=True)
    for place in (victim, victim / "inner"):
        (place / "folder").symlink_to(precious)
        (place / "file").symlink_to(precious / "file")
        (place / "up").symlink_to("..")
        os.mkfifo(place / "fifo")
    link = tmp_path / "link"
    link.symlink_to(precious)
    assert not removal.remove(str(link), ALWAYS)
    assert removal.remove(str(victim), ALWAYS)
    assert (precious / "file").read_text() == "keep"


def test_it_stops_when_told_and_goes_on_later(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    for number in range(100):
        (victim / f"{number}").write_text("")
    steps = iter(range(30))
    assert not removal.remove(str(victim), lambda: next(steps, None) is not None)
    assert 0 < len(list(victim.iterdir())) < 100
    assert removal.remove(str(victim), ALWAYS)
    assert removal.remove(str(victim), ALWAYS), "none there is well"


HOSTILE = f"""
import os, sys
sys.path.insert(0, {str(Path(removal.__file__).parent)!r})
import removal
os.setgroups([]) if os.geteuid() == 0 else None
if os.geteuid() == 0:
    os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
os.makedirs("victim/a/b/c")
open("victim/a/b/file", "w").close()
for path in ("victim/a/b/c", "victim/a/b", "victim/a", "victim"):
    os.chmod(path, 0)
print(removal.remove("victim", lambda: True), os.path.exists("victim"))
print(removal.remove("foreign", lambda: True), os.path.exists("foreign"))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="it needs two users")
def test_modes_stop_nobody_and_what_cannot_go_is_no_endless_work(tmp_path: Path) -> None:
    place = Path("/tmp") / f"runyard-test-removal-{os.getpid()}"
    (place / "foreign" / "stuck" / "deeper").mkdir(parents=True)
    place.chmod(0o777)
    (place / "foreign").chmod(0o755)
    source = HOSTILE.replace(repr(str(Path(removal.__file__).parent)), repr(str(place)))
    (place / "removal.py").write_text(Path(removal.__file__).read_text())
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", source], cwd=place, capture_output=True, text=True,
            timeout=30, check=False,
        )  # fmt: skip
        assert done.stdout == "True False\nFalse True\n", done.stderr
    finally:
        assert removal.remove(str(place), ALWAYS)
