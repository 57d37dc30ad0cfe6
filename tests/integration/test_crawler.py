"""A comic crawler's scripts run end to end: requests and bs4 from a venv of their own, and node."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

import pytest
import requests
from harness import System, system
from slots import LEVELS

SCRIPTS = Path(__file__).parents[1] / "cases" / "crawler"
PACKAGES = (
    "requests", "urllib3", "idna", "certifi", "charset_normalizer", "bs4", "soupsieve",
    "typing_extensions",
)  # fmt: skip
TASKS_PATH = "/usr/local/bin:/usr/bin:/bin"
HOST = "127.0.0.2"
"""Not 127.0.0.1, which a task's clients take for its own and reach without the proxy."""
KEY = 90
EPISODES = {"第1話 出航": 3, "第2話「嵐」": 12, "제3화 항구": 1, "番外編": 5}


class Site(BaseHTTPRequestHandler):
    """Serves a comic's pages; all else is 404."""

    def do_GET(self) -> None:
        page = pages().get(self.path)
        body = (page or "gone").encode()
        self.send_response(200 if page else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


def pages() -> dict[str, str]:
    links = [
        f"<a class='episode' title='{name}' href='/episode/{n}'>{name}</a>"
        for n, name in enumerate(EPISODES)
    ]
    comics = "<li><a href='/comic/7'>別の本</a><li><a href='/comic/8'>海と本の物語</a>"
    return {
        "/": f"<title>漫画</title><ul class='comics'>{comics}</ul>",
        "/comic/8": f"<h1>海と本の物語</h1>{''.join(links)}",
        **{
            f"/episode/{n}": f"<script>nview({KEY}, '{packed(name, count)}')</script>"
            for n, (name, count) in enumerate(EPISODES.items())
        },
    }


def packed(name: str, count: int) -> str:
    """Hide an episode's pictures as the site does; nview.js finds them again."""
    plain = json.dumps({"name": name, "pages": count}).encode()
    return base64.b64encode(bytes(byte ^ KEY for byte in plain)).decode()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with ThreadingHTTPServer((HOST, 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{HOST}:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """Make a folder that every user may enter: tasks of a worker that is root run as nobody."""
    # Not in /tmp: jailed tasks have one of their own.
    path = Path(tempfile.mkdtemp(prefix="runyard-test-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def reachable_python() -> str:
    """Find an interpreter that the tasks' user can run."""
    user = "nobody" if os.geteuid() == 0 else None
    for path in (getattr(sys, "_base_executable", sys.executable), "/usr/bin/python3"):
        try:
            subprocess.run([path, "-I", "-c", ""], check=True, cwd="/", env={}, user=user)
        except OSError:
            continue
        return str(path)
    pytest.fail("no Python here can be run by the user nobody; install Debian's python3")


@pytest.fixture(scope="module")
def environment(open_folder: Path) -> Path:
    """Make a virtual environment with the crawler's packages, without a network."""
    folder = open_folder / "venv"
    make = [reachable_python(), "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(make, check=True, umask=0o022)
    packages = next(folder.glob("lib/python*/site-packages"))
    for name in PACKAGES:
        spec = find_spec(name)
        assert spec is not None, f"{name} is not installed"
        source = Path(str(spec.origin))
        if source.name == "__init__.py":
            ignored = shutil.ignore_patterns("*.so", "__pycache__")  # the pure form runs anywhere
            shutil.copytree(source.parent, packages / name, ignore=ignored)
        else:
            shutil.copy(source, packages)
    return folder / "bin" / "python"


@pytest.fixture(scope="module", params=LEVELS)
def running(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    open_folder: Path,
    environment: Path,
    site: str,
) -> Iterator[System]:
    """Run a system whose tasks have the network without asking, as the client does not ask."""
    assert shutil.which("node", path=TASKS_PATH), f"no node in {TASKS_PATH}: install nodejs"
    files = open_folder / "files"
    files.mkdir(exist_ok=True)
    shutil.copy(SCRIPTS / "nview.js", files)
    subprocess.run(["chmod", "-R", "a+rX", open_folder], check=True)
    state = tmp_path_factory.mktemp("crawler")
    options = (
        f"--isolation={request.param}", "--slots=2", f"--python={environment}",
        f"--task-files={files}", "--network-default", f"--network-allow={urlsplit(site).netloc}",
    )  # fmt: skip
    with system(state, *options) as started:
        yield started


def crawl(running: System, script: str, url: str) -> requests.Response:
    """Send a script as the crawler's client does."""
    code = (SCRIPTS / script).read_text().replace("@URL@", url)
    return requests.get(f"{running.url}/execute", {"code": quote_plus(code)}, timeout=30)


def parsed(answer: requests.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return json.loads(answer.content)


def test_a_comic_is_crawled_from_the_home_page_to_its_images(running: System, site: str) -> None:
    comic = parsed(crawl(running, "home.py", site))
    assert comic == f"{site}/comic/8"
    episodes = parsed(crawl(running, "episodes.py", comic))
    assert episodes == {name: f"{site}/episode/{n}" for n, name in enumerate(EPISODES)}
    with ThreadPoolExecutor() as clients:  # all at once, more than there are slots
        answers = list(clients.map(lambda url: crawl(running, "images.py", url), episodes.values()))
    for (name, count), answer in zip(EPISODES.items(), answers, strict=True):
        images = [f"{site}/img/{quote(name)}/{page:03}.jpg" for page in range(1, count + 1)]
        assert parsed(answer) == {"page_num": count, "image_urls": images}


def test_a_page_that_is_gone_is_told_and_never_parsed(running: System, site: str) -> None:
    answer = crawl(running, "episodes.py", f"{site}/comic/9")
    assert answer.status_code == 422
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.content)
    assert "404 Client Error" in answer.text
    assert answer.headers["X-Task-Outcome"] == "runtime_error"


def test_a_site_that_is_down_is_the_script_s_own_error(running: System) -> None:
    answer = crawl(running, "home.py", "http://127.0.0.1:9/")
    assert answer.status_code == 422
    assert answer.headers["X-Task-Outcome"] == "runtime_error"
    assert "ConnectionError" in answer.text
