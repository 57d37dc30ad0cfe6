"""The traps of the layout, each held by a test in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TWISTD = Path(sys.executable).with_name("twistd")


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_twistd_lists_both_commands_from_another_folder(tmp_path: Path) -> None:
    listed = run(TWISTD, "--help", cwd=tmp_path)
    for name in ("scheduler", "worker"):
        assert f"\n    {name} " in listed
        assert "--state" in run(TWISTD, name, "--help", cwd=tmp_path)


def test_sched_is_the_standard_library_s_even_with_the_checkout_first_on_the_path() -> None:
    code = "import sched, sys; print(sys.path[0] == '', sched.scheduler.__module__, sched.__file__)"
    said = run(sys.executable, "-c", code, cwd=ROOT)
    assert said.startswith("True sched ")
    assert str(ROOT / "sched") not in said


def test_the_import_name_is_runyard_and_no_folder_lands_beside_it(tmp_path: Path) -> None:
    code = (
        "import importlib.util as u, runyard.sched.tap, runyard.worker.tap;"
        "print([n for n in ('worker', 'protocols', 'k8s', 'client', 'daemon') if u.find_spec(n)])"
    )
    assert run(sys.executable, "-I", "-c", code, cwd=tmp_path) == "[]\n"


def test_a_wheel_holds_every_module_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    listed = run("git", "ls-files", cwd=ROOT).splitlines()
    for name in listed:
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes() if (ROOT / name).exists() else b"")
    run(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
        "-w", tmp_path, source, cwd=tmp_path,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("runyard-*.whl")
    names = run(sys.executable, "-m", "zipfile", "-l", wheel, cwd=tmp_path)
    inside = {line.split()[0] for line in names.splitlines()[1:] if ".dist-info" not in line}
    folders = ("daemon/", "protocols/", "sched/", "worker/")
    modules = [n for n in listed if n.startswith(folders) and n.endswith(".py")]
    pages = [n for n in listed if n.startswith("sched/page/")]
    expected = {f"runyard/{n}" for n in [*modules, *pages]}
    assert inside == expected | {"twisted/plugins/runyard_plugin.py"}
