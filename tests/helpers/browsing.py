"""A real browser, and servers on loopback for its pages, which also record what it sends."""

from __future__ import annotations

import http.client
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
from attrs import frozen
from harness import eventually
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

CHROMIUM = "/usr/bin/chromium"
CHROMEDRIVER = "/usr/bin/chromedriver"
NAMES = ("evil.example", "judge.test", "friend.test")
"""Names that the browser takes for this machine's; plain http there is no secure context."""
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--no-proxy-server", "--window-size=1000,900",
    "--autoplay-policy=no-user-gesture-required",
    # http is not tried as https first, which no server here speaks.
    "--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable",
    "--host-resolver-rules=" + ", ".join(f"MAP {name} 127.0.0.1" for name in NAMES),
)  # fmt: skip
BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date"})
BROWSER_ONLY = ("origin", "referer", "user-agent", "sec-", "access-control-")


@contextmanager
def browser(profile: Path) -> Iterator[Chrome]:
    """Run Chromium for a while; every process of it is gone afterwards."""
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = ChromeService(executable_path=CHROMEDRIVER)
    driver = Chrome(options=options, service=service)
    family = [psutil.Process(service.process.pid)]
    family += family[0].children(recursive=True)
    try:
        yield driver
    finally:
        driver.quit()
        for process in psutil.wait_procs(family, timeout=10)[1]:
            process.kill()


@frozen
class Seen:
    """A request that a browser sent, and what it was answered."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    status: int
    answer: str

    @property
    def text(self) -> str:
        """Give everything that could hold code, decoded."""
        sent = f"{self.target} {self.body.decode('utf-8', 'replace')}"
        return urllib.parse.unquote_plus(sent)

    def again(self, server: str) -> tuple[int, str]:
        """Send the same to a server, without what tells that it came from a browser's page."""
        headers = {n: v for n, v in self.headers.items() if not n.startswith(BROWSER_ONLY)}
        headers["host"] = server.partition("://")[2]
        return send(server, self.method, self.target, headers, self.body)[:2]


class Site:
    """A web server in a thread of this process: pages by path; all else goes on to a server.

    What goes on keeps every header that the browser sent, Host too, and is recorded.
    """

    def __init__(self, target: str | None = None) -> None:
        self.pages: dict[str, str] = {}
        self.redirects: dict[str, str] = {}
        self.seen: list[Seen] = []
        self.target = target
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:
                    self.close_connection = True

            def do_any(self) -> None:
                site._answer(self)

            do_GET = do_POST = do_OPTIONS = do_DELETE = do_PUT = do_any

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Write nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def url(self, name: str) -> str:
        """Give its address under a name."""
        return f"http://{name}:{self.port}"

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def matching(self, marker: str) -> list[Seen]:
        """List the recorded requests that hold a text."""
        return [each for each in list(self.seen) if marker in each.text]

    def arrived(self, marker: str) -> list[Seen]:
        """Wait for requests that hold a text; give them."""
        found: list[Seen] = eventually(f"a request with {marker}", lambda: self.matching(marker))
        return found

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        method, path = handler.command, handler.path
        headers = {name.lower(): value for name, value in handler.headers.items()}
        body = handler.rfile.read(int(headers.get("content-length", "0")))
        page, redirect = self.pages.get(path), self.redirects.get(path)
        if page is not None:
            html = {"content-type": "text/html; charset=utf-8"}
            status, answer, more = 200, page, html
        elif redirect is not None:
            status, answer, more = 307, "", {"location": redirect}  # a POST stays one
        elif self.target is None:
            status, answer, more = 404, "", {}
        else:
            status, answer, more = send(self.target, method, path, headers, body)
            self.seen.append(Seen(method, path, headers, body, status, answer))
        data = answer.encode()
        handler.send_response(status)
        for name, value in more.items():
            if name not in BY_HOP:
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)


@contextmanager
def site(target: str | None = None) -> Iterator[Site]:
    """Run a site for a while."""
    running = Site(target)
    try:
        yield running
    finally:
        running.stop()


def send(
    server: str, method: str, target: str, headers: dict[str, str], body: bytes
) -> tuple[int, str, dict[str, str]]:
    """Send a request with exactly these headers; give status, text and headers of the answer."""
    connection = http.client.HTTPConnection(server.partition("://")[2], timeout=30)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        return answer.status, text, {n.lower(): v for n, v in answer.getheaders()}
    finally:
        connection.close()
