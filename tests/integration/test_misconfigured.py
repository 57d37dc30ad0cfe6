"""A daemon that cannot do its work says why in one line, and exits non-zero."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from harness import TWISTD

from runyard.daemon.keys import make_keys


def start_in_vain(*arguments: str) -> str:
    """Run a daemon that is to end by itself at once; give its last line."""
    return all_said(*arguments).splitlines()[-1]


def all_said(*arguments: str) -> str:
    """Run a daemon that is to end by itself at once; give all that it says."""
    command = [str(TWISTD), "--nodaemon", "--pidfile=", *arguments]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, cwd="/"
    )
    assert ended.returncode != 0, ended
    assert "Traceback" not in ended.stdout + ended.stderr, ended
    return (ended.stdout + ended.stderr).strip()


SCHEDULER = [
    (["--port=99999"], "--port must be a whole number, 0 to 65535"),
    (["--nonsense"], "nonsense"),
    (["--interface=0.0.0.0"], "--allow-anonymous"),
    (["--interface=localhost"], "must be an IP address"),
    (["--silence=1", "--heartbeat=2"], "--silence must be longer"),
    (["--worker=tcp:127.0.0.1:99999"], "--worker tcp:127.0.0.1:99999: a port is 1 to 65535"),
    (["--worker=tcp:0.0.0.0:7070"], "no worker can be reached at 0.0.0.0"),
    (["--worker=tls:w:1", "--worker=tls:w:1"], "it is given twice"),
    (["--worker=serial:x"], "must be unix:PATH, tcp:HOST:PORT or tls:HOST:PORT"),
    (["--task-files=/nonexistent"], "--task-files /nonexistent"),
    (["--max-wait=0"], "--max-wait must be seconds"),
    (["--api-keys=x"], "not supported yet"),
]


@pytest.mark.parametrize(("options", "word"), SCHEDULER, ids=[o[0] for o, _ in SCHEDULER])
def test_a_scheduler_names_the_option(tmp_path: Path, options: list[str], word: str) -> None:
    assert word in start_in_vain("scheduler", f"--state={tmp_path}", *options)


def test_a_scheduler_names_a_state_folder_that_it_cannot_use(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = start_in_vain("scheduler", f"--state={tmp_path / 'file' / 'x'}")
    assert said.startswith("scheduler: state folder ")
    long = tmp_path / ("x" * 100)
    assert "too long for a unix socket" in start_in_vain("scheduler", f"--state={long}")


def test_a_scheduler_names_a_key_that_others_may_read(tmp_path: Path) -> None:
    make_keys(tmp_path / "keys")
    (tmp_path / "keys" / "controller.key").chmod(0o644)
    said = start_in_vain("scheduler", f"--state={tmp_path}", "--port=0", "--debug-port=0")
    assert said.endswith("controller.key: others may read it; chmod 600 it")


def test_a_scheduler_whose_worker_cannot_start_does_not_stay(tmp_path: Path) -> None:
    start = ("scheduler", f"--state={tmp_path}", "--port=0", "--debug-port=0")
    wrong = "--slots=0"
    assert "--slots must be a whole number, 1 to 1024" in all_said(*start, wrong)
    missing = "--python=/nonexistent/python"
    assert "could not start; it says why above" in start_in_vain(*start, missing)


WORKER = [
    (["--isolation=none"], "is to be had by --allow-unsandboxed alone"),
    (["--listen=tcp:99999"], "port must be 0-65535"),
    (
        ["--listen=tcp:0:interface=192.0.2.254"],
        "cannot listen on tcp:0",
    ),
    (
        ["--listen=tcp:0:interface=a.host"],
        "cannot listen on tcp:0",
    ),
    (["--listen=nonsense:x"], "--listen nonsense:x"),
    (["--listen=unix:/" + "x" * 120], "107 bytes"),
    (["--python=python3"], "must be an absolute path"),
    (["--python=/bin/true"], "/bin/true is no Python"),
    (["--name=bad name"], "--name must be"),
    (["--slots=0"], "--slots must be a whole number"),
    (["--network=all"], "--network must be one of none, proxy, host, not 'all'"),
    (["--network-allow=db"], "the name db needs a port"),
    (["--isolation=namespaces", "--network=host"], "--network host is not supported at level"),
    (
        ["--fleet-secret=/nonexistent"],
        "/nonexistent: No such file",
    ),
]


@pytest.mark.parametrize(("options", "word"), WORKER, ids=range(len(WORKER)))
def test_a_worker_names_what_is_wrong(tmp_path: Path, options: list[str], word: str) -> None:
    make_keys(tmp_path / "keys")
    assert word in start_in_vain("worker", f"--state={tmp_path}", "--listen=tcp:0", *options)
