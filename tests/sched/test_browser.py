"""Who may call: each row is a request as a real client sends it."""

from __future__ import annotations

import pytest

from runyard.sched.browser import BrowserRules, host_name

RULES = BrowserRules(frozenset({"https://judge.example"}), frozenset({"runyard.lan"}))
HERE = {"host": "localhost:5000"}
FIREFOX = {"user-agent": "Mozilla/5.0 (X11; Linux) Firefox/150"}


def allowed(headers: dict[str, str], path: bytes = b"/execute", method: bytes = b"GET") -> bool:
    refusal = RULES.refuse(method, path, (HERE | headers).get)
    assert refusal is None or refusal.kind.status == 403
    return refusal is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"user-agent": "curl/8.0"},
        {"user-agent": "python-requests/2.32"},
        {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", **FIREFOX},
        {"sec-fetch-site": "same-origin", "origin": "http://localhost:5000", **FIREFOX},
        {"sec-fetch-site": "same-origin", **FIREFOX},
        {"origin": "http://localhost:5000"},
        {"origin": "https://judge.example", "sec-fetch-site": "cross-site", **FIREFOX},
        {"host": "127.0.0.1:5000"},
        {"host": "[::1]:5000"},
        {"host": "10.1.2.3"},
        {"host": "LOCALHOST"},
        {"host": "runyard.lan:5000"},
    ],
)
def test_tools_our_own_page_and_named_origins_may_run_code(headers: dict[str, str]) -> None:
    assert allowed(headers)
    assert allowed(headers, method=b"POST")


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", **FIREFOX},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors", **FIREFOX},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", **FIREFOX},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "websocket", **FIREFOX},
        {"sec-fetch-site": "weird"},
        {"origin": "http://localhost:8000"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "https://judge.example.evil"},
        {"host": "evil.example"},
        {"host": "localhost.evil.example:5000"},
        {"host": "127.0.0.1.evil.example"},
        {"host": ""},
    ],
)
def test_other_pages_and_rebound_names_may_not(headers: dict[str, str]) -> None:
    assert not allowed(headers)
    assert not allowed(headers, method=b"POST")
    assert not allowed(headers, path=b"/tasks/1", method=b"DELETE")
    assert not allowed(headers, path=b"/workers")


def test_an_image_of_a_browser_that_says_nothing_runs_no_code() -> None:
    assert not allowed(FIREFOX)
    assert allowed(FIREFOX, path=b"/workers"), "reading is not running"


def test_a_link_may_open_a_page_and_nothing_else() -> None:
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", **FIREFOX}
    assert allowed(link, path=b"/")
    assert not allowed(link, path=b"/", method=b"POST")
    assert not allowed(link | {"sec-fetch-mode": "no-cors"}, path=b"/")


def test_probes_are_exempt() -> None:
    for path in (b"/healthz", b"/readyz"):
        assert allowed({"host": "10-1-2-3.pod.cluster.local"}, path=path)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("A.b:1", "a.b"),
        ("[::1]:5000", "::1"),
        ("[::1]", "::1"),
        ("x.", "x"),
        ("1.2.3.4:5", "1.2.3.4"),
    ],
)
def test_a_host_header_s_name(host: str, name: str) -> None:
    assert host_name(host) == name
