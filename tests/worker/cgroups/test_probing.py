"""Controllers are found by doing, in a process as the janitor is: isolated, without a package."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from grouped import BASE, NAME, WITH_V1

from runyard.worker.sandbox import instance, record
from runyard.worker.sandbox.cgroups import probing
from runyard.worker.sandbox.cgroups.group import Counters

SANDBOX = Path(instance.__file__).parent
PROBE = """
import sys
sys.path.insert(0, sys.argv[1])
from cgroups import finding, probing
from cgroups.where import Base
base, _ = finding.look()
{change}
works, why_not = probing.probe(base, sys.argv[2])
print(sorted(works.folders))
print(sorted(why_not.items()))
"""


def probe(change: str = "") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PROBE.format(change=change), str(SANDBOX), NAME],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert not done.stderr
    return done.stdout.splitlines()


@WITH_V1
def test_all_that_is_here_works_and_nothing_is_left() -> None:
    assert probe() == [str(sorted(BASE.folders)), "[]"]
    for folder in BASE.folders.values():
        assert not [name for name in os.listdir(folder) if name.startswith(NAME)]


@WITH_V1
def test_what_does_not_work_is_said_and_the_others_work_on() -> None:
    works, why_not = probe('base.folders["memory"] = "/proc/no-such"')
    assert works == str(sorted(set(BASE.folders) - {"memory"}))
    assert "('memory', '/proc/no-such/" in why_not
    assert "No such file or directory" in why_not


@WITH_V1
def test_a_limit_that_limits_nothing_is_found_out() -> None:
    _, why_not = probe(
        "from cgroups import v1\n"
        "put = v1.Group._put\n"
        "v1.Group._put = lambda self, c, name, value: put(self, c, name, 'max')"
        " if name == 'pids.max' else put(self, c, name, value)"
    )
    assert "pids.max of 1 did not refuse a fork" in why_not


ENDED = 0
WELL = Counters(0, 1, 0.01, probing.TOUCHED_BYTES)


@pytest.mark.parametrize(
    ("controller", "status", "counted", "why"),
    [
        ("memory", ENDED, WELL, ""),
        ("memory", ENDED, WELL._replace(peak_bytes=4096), "4096 counted"),
        ("memory", ENDED, WELL._replace(peak_bytes=None), ""),
        ("memory", 14, WELL, "signal 14"),
        ("pids", ENDED, WELL, ""),
        ("pids", ENDED, WELL._replace(pids_refused=0), "did not refuse"),
        ("pids", probing.FORKED << 8, WELL, "did not refuse"),
        ("cpuacct", ENDED, WELL._replace(cpu_s=0.0), "no time"),
        ("cpu", ENDED, WELL._replace(cpu_s=None), ""),
    ],
)
def test_a_canarys_end_is_judged(controller: str, status: int, counted: Counters, why: str) -> None:
    judged = probing._judge(controller, status, counted)
    assert why in judged
    assert bool(why) == bool(judged)


def test_an_older_interpreter_can_read_all_of_it() -> None:
    files = [*(SANDBOX / "cgroups").glob("*.py"), Path(instance.__file__), Path(record.__file__)]
    assert len(files) > 8
    for path in files:
        ast.parse(path.read_text(), path.name, feature_version=(3, 8))
