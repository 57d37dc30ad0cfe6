from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor as installed
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.python.usage import UsageError

from runyard.worker import tap
from runyard.worker.jobs import JobsFolder
from runyard.worker.service import WorkerService

reactor: Any = installed


def test_a_task_file_with_the_program_s_name_is_refused_at_start(tmp_path: Path) -> None:
    (tmp_path / "data.txt").touch()
    assert [each for each, _ in tap._task_files(str(tmp_path))] == ["data.txt"]
    (tmp_path / "main.py").touch()
    with pytest.raises(UsageError, match="must have another name"):
        tap._task_files(str(tmp_path))


@pytest.mark.parametrize("form", ["unix:{}", "unix:address={}", "unix:mode=600:address={}"])
@pytest.mark.parametrize("name", ["s.sock", "a:b=c.sock"])
def test_an_earlier_start_s_socket_is_cleared_however_it_is_named(
    tmp_path: Path, form: str, name: str
) -> None:
    path = tmp_path / name
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    escaped = str(path).replace(":", "\\:").replace("=", "\\=")
    tap._endpoint(reactor, form.format(escaped))
    assert not path.exists()
    path.write_text("not a socket")
    tap._endpoint(reactor, form.format(escaped))
    assert path.exists()


@pytest.mark.parametrize("wrong", ["unix:", "unix:" + "x" * 120, "unix:address=" + "x" * 120])
def test_a_path_that_is_no_socket_s_is_a_usage_error(wrong: str) -> None:
    with pytest.raises(UsageError, match="--listen"):
        tap._endpoint(reactor, wrong)


@pytest.mark.parametrize("leads", ["os.setpgid(0, 0)", "os.setsid()", "pass"])
def test_a_local_worker_starts_wherever_its_shell_has_put_it(leads: str) -> None:
    code = f"import os\nfrom runyard.worker import tap\n{leads}\ntap._leave_session()\nprint('up')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False,
        cwd="/",
    )  # fmt: skip
    assert done.stdout == "up\n", done.stderr


def test_a_port_that_cannot_be_had_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = WorkerService(
            reactor, TCP4ServerEndpoint(reactor, port, interface="127.0.0.1"), f"tcp:{port}",
            None, Factory(), None, None, JobsFolder(reactor, tmp_path), 1.0,  # type: ignore[arg-type]
        )  # fmt: skip
        with pytest.raises(SystemExit):
            service.privilegedStartService()
    assert list(place.iterdir()) == []
    assert not (tmp_path / "jobs").exists()
