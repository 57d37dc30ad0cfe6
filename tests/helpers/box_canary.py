"""What proves an outer box before anything hostile runs in one."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from box import HERE, REPOSITORY, Boxed, NoBox, Size, run_python
from box_canary_inside import CHECKS

NAMES = tuple(check.__name__ for check in CHECKS)


def prove(size: Size = Size(), **more: Any) -> dict[str, str]:  # noqa: B008 (frozen)
    """Run the canary in a box of this size; maps each check to "" or what is wrong.

    Beside those of the program inside: "gone" (nothing of the box is left), "unhurt" (what stands
    outside is as it was), "wall" (a sleeper is ended at the limit).

    Raises:
        NoBox: there can be no box here.
    """
    marker = f"ry_canary_{secrets.token_hex(8)}"
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as server:
        file = Path(folder) / marker
        file.write_text(marker)
        outside = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", "input()", marker], stdin=subprocess.PIPE
        )
        try:
            facts = {
                "marker": marker, "marker_pid": outside.pid, "marker_file": str(file),
                "marker_port": server.getsockname()[1], "repository": str(REPOSITORY),
                "disk": os.stat("/").st_dev, "memory": size.memory, "pids": size.pids,
                "tmp": size.tmp, "shm": size.shm,
            }  # fmt: skip
            boxed = run_python(HERE / "box_canary_inside.py", json.dumps(facts), size=size, **more)
            hurt = outside.poll() is not None or file.read_text() != marker
        finally:
            outside.communicate(b"\n")
    return _told(boxed) | {
        "gone": "" if boxed.gone and not boxed.processes else f"left: {boxed}",
        "unhurt": "what stands outside was changed" if hurt else "",
        "wall": _wall(**more),
    }


def demand(size: Size = Size(), **more: Any) -> None:  # noqa: B008 (frozen)
    """Prove a box.

    Raises:
        NoBox: there can be none here.
        AssertionError: one was made and does not hold; no attack may run.
    """
    wrong = {name: text for name, text in prove(size, **more).items() if text}
    assert not wrong, f"the outer box does not hold: {wrong}"


def _told(boxed: Boxed) -> dict[str, str]:
    told = dict.fromkeys(NAMES, "the canary did not say")
    for line in boxed.stdout.decode("utf-8", "replace").splitlines():
        name, _, text = line.partition(" ")
        told[name] = "" if text == "holds" else text
    if boxed.code != 0:
        told["canary"] = f"it ended with {boxed.code}: {boxed.stderr[-2000:]!r}"
    return told


def _wall(**more: Any) -> str:
    size = Size(wall_s=0.3)
    try:
        boxed = run_python(HERE / "box_canary_inside.py", "sleep", size=size, **more)
    except NoBox as error:
        return str(error)
    return "" if boxed.late and boxed.gone else f"the sleeper was not ended: {boxed}"
