"""Jails where the machine's /proc is masked, as a container's is: they have none, and work."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import runyard.worker

PACKAGES = str(Path(runyard.worker.__path__[0]).parents[1])
NOBODY = 65534
PLAIN = "/usr/bin/python3"
pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can mask another's /proc")

DRIVER = """
import sys, tempfile
from pathlib import Path
from runyard.worker.sandbox import probing
from runyard.worker.sandbox.interface import Job
from runyard.worker.sandbox.jail.direct import direct_jail
from runyard.worker.sandbox.jail.making import JailPlan
from runyard.worker.sandbox.runtimes import find_interpreters
from runyard.protocols.limits import Limits

plan = JailPlan(find_interpreters([], None))
print("through:", probing.attack(plan), flush=True)
for code in sys.argv[1:]:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        Path(folder).chmod(0o711)
        plan.prepare(Path(folder))
        with direct_jail(plan.layout(Path(folder)), plan.zygote(0) | {"groups": []}, log, 20) as it:
            limits = Limits()
            job = Job("a", "python", b"", b"", (), (), limits, limits.wall_s)
            seen = it.run(plan.order(job, grouped=False), code.encode(), 30)
            print(seen.status, seen.stdout.decode(), seen.stderr.decode(), flush=True)
"""
WORK = """
import multiprocessing, os, subprocess
def double(number): return number * 2
if __name__ == '__main__':
    print(os.listdir('/proc'), subprocess.run(['sh', '-c', 'echo $$; exit 7']).returncode)
    with multiprocessing.get_context('fork').Pool(2) as pool: print(pool.map(double, [1, 2]))
    with multiprocessing.get_context('spawn').Pool(1) as pool: print(pool.map(double, [3]))
    with open('/dev/null', 'w') as file: print(file.write('x'), os.getpid())
    raise KeyError('told')
"""


def as_nobody(mask: str, code: str) -> list[str]:
    """Run the driver as nobody in a mount namespace in which something lies over /proc/FILE."""
    lead = f"{mask}exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups "
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", lead + f'{PLAIN} -c "$0" "$1"', DRIVER, code],
        env={"PYTHONPATH": PACKAGES, "PATH": os.environ["PATH"]}, capture_output=True, text=True,
        timeout=60, check=False, cwd="/",
    )  # fmt: skip
    if "No module named" in done.stderr:
        pytest.skip("nobody can run no interpreter that has what a worker needs")
    assert done.returncode == 0, done
    return done.stdout.splitlines()


MASK = "mount --bind /dev/null /proc/timer_list; "


def test_tasks_have_an_empty_proc_and_work_is_done() -> None:
    said = as_nobody(MASK, WORK)
    assert said[0] == "through: []", said
    assert said[1:6] == ["256 3", "[] 7", "[2, 4]", "[6]", "1 2"], said
    assert "KeyError: 'told'" in said
    assert 'File "/task/main.py", line 9, in <module>' in "\n".join(said)


def test_without_a_mask_it_is_not_empty() -> None:
    said = as_nobody("", "import os; print('self' in os.listdir('/proc'))")
    assert said[:2] == ["through: []", "0 True"], said
