"""What jobs leave does not pile up in a slot, however busy it is. In processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from runyard.worker.sandbox import starting

FILES = 50
BENCH = f"""
import json, os, socket, sys
sys.path.append({str(Path(starting.__file__).parent)!r})
import folders, launcher
folders.TIDY_S = folders.HOLD_S = 0
slot = os.path.join(os.getcwd(), "0")
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
def left():
    return sum(len(files) for _, _, files in os.walk(folders.aside_of(slot)))
def run(channel, descriptors, confinement, *busy):
    os.mkdir(slot + "/1")
    for number in range({FILES}): open(f"{{slot}}/1/{{number}}", "w").close()
    folders.put_aside(slot + "/1", slot)
    launcher.send(channel, {{"ended": left(), "busy": any(busy)}})
    return True
def serve(jobs):
    for _ in range(jobs): ours.send(b'{{"run": "a.1"}}')
    ours.shutdown(socket.SHUT_WR)  # all jobs wait, and then there is no other
    launcher.serve(theirs, slot)
    theirs.close()
    while packet := ours.recv(4096): yield json.loads(packet)
launcher.run = run
"""


def of_a_helper(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", BENCH + code], cwd=folder, capture_output=True,
        text=True, timeout=30, check=False,
    )  # fmt: skip
    assert not done.stderr
    return done.stdout


def test_no_more_is_left_than_three_jobs_leave_even_if_another_always_waits(tmp_path: Path) -> None:
    code = "for packet in serve(6): print(packet.get('ended', 'ready'), packet.get('busy'))"
    first, *rest = of_a_helper(code, tmp_path).splitlines()
    assert first == "ready None"
    assert len(rest) == 8
    for at in (0, 4):
        assert rest[at] == f"{FILES} False"
        assert FILES < int(rest[at + 1].split()[0]) <= 2 * FILES
        assert rest[at + 1].endswith("False")
        assert int(rest[at + 2].split()[0]) <= 3 * FILES
        assert rest[at + 2].endswith("True")
        assert rest[at + 3] == "ready None"


def test_what_an_earlier_helper_left_is_gone_before_the_next_is_ready(tmp_path: Path) -> None:
    code = """
os.makedirs(slot + "/7/deeper")
open(slot + "/7/deeper/file", "w").close()
os.makedirs(folders.aside_of(slot) + "/old")
open(folders.aside_of(slot) + "/old/file", "w").close()
launcher.send = lambda channel, packet: print(packet, left())
list(serve(0))
"""
    assert of_a_helper(code, tmp_path) == "{'ready': True} 0\n"


def test_a_worker_that_goes_is_not_kept_waiting(tmp_path: Path) -> None:
    code = f"""
os.makedirs(folders.aside_of(slot))
for number in range({FILES}): open(f"{{folders.aside_of(slot)}}/{{number}}", "w").close()
ours.close()
folders.empty(theirs, slot)
print(left())
"""
    assert of_a_helper(code, tmp_path) == f"{FILES - 1}\n"
