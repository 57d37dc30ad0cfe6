"""Programs in every form, odd heads and bombs at the real socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
import requests
from harness import System, system
from quickly import quick_of
from rawclient import LAG_MS, MIB, Client, Watch


@pytest.fixture(scope="module")
def runyard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder: Path = tmp_path_factory.mktemp("front") / "state"
    with system(folder, "--head-timeout=1", "--max-connections=40") as running:
        yield running


SAME = "print('x;y=z', '100%', 'a+b', 'q?r#s')"


def forms() -> dict[str, dict[str, Any]]:
    encoded = f"code={quote_plus(SAME)}"
    form = "application/x-www-form-urlencoded"
    return {
        "form": {"data": encoded, "headers": {"Content-Type": form}},
        "charset": {"data": encoded, "headers": {"Content-Type": f"{form}; charset=UTF-8"}},
        "case": {"data": encoded, "headers": {"Content-Type": form.title()}},
        "json": {"json": {"code": SAME}},
        "multipart": {"files": {"code": (None, SAME)}},
        "file": {"files": {"code": ("main.py", SAME, "text/x-python")}},
        "raw": {"data": SAME, "headers": {"Content-Type": "text/plain"}},
    }


@pytest.mark.parametrize("name", forms())
def test_the_same_program_gives_the_same_in_every_form(runyard: System, name: str) -> None:
    answer = requests.post(f"{runyard.url}/execute", timeout=30, **forms()[name])
    assert answer.json()["stdout"] == "x;y=z 100% a+b q?r#s\n"


def test_a_body_without_a_type_is_told_which_there_are(runyard: System) -> None:
    answer = requests.post(f"{runyard.url}/execute", data=b"print(1)", timeout=30)
    assert answer.status_code == 415
    assert "multipart/form-data" in answer.json()["detail"]


def test_pipelined_requests_are_answered_in_order(runyard: System) -> None:
    def get(n: int) -> bytes:
        return b"GET /execute?code=print(%d) HTTP/1.1\r\nHost: localhost\r\n\r\n" % n

    with Client(runyard) as client:
        client.send(get(1) + get(2) + get(3).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        data = b""
        while piece := client.socket.recv(65_536):
            data += piece
    bodies = [part.partition(b"\r\n\r\n")[2][:1] for part in data.split(b"HTTP/1.1 ")[1:]]
    assert bodies == [b"1", b"2", b"3"]


def said(runyard: System, data: bytes) -> tuple[int, bytes, str]:
    """Give (status, everything, what the daemon wrote meanwhile)."""
    before = len(runyard.daemon.read())
    with Client(runyard) as client:
        client.send(data)
        status, answer = client.answer()
    requests.get(f"{runyard.url}/healthz", timeout=30)
    return status, answer, runyard.daemon.read()[before:]


OLD_BROWSER = b"Host: localhost\r\nUser-Agent: Mozilla/5.0\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/execute", 403), (b"//execute", 404), (b"/%65xecute", 404), (b"/execut%65", 404),
        (b"/./execute", 404), (b"/execute/", 404), (b"http://localhost/execute", 404),
        (b"/%ff", 404), (b"execute", 404), (b"*", 404),
    ],
)  # fmt: skip
def test_no_spelling_of_a_path_runs_code_past_the_browser_rule(
    runyard: System, target: bytes, expected: int
) -> None:
    line = b"GET " + target + b"?code=print(6*7) HTTP/1.1\r\n"
    status, answer, log = said(runyard, line + OLD_BROWSER)
    assert (status, log) == (expected, "")
    assert b"42" not in answer.partition(b"\r\n\r\n")[2]


ODD = {
    "content type": (b"POST /execute", b"Content-Type: \xff\xfe\r\nContent-Length: 1\r\n", 415),
    "accept": (b"GET /execute?code=print(1)", b"Accept: \xff\xfe\r\n", 200),
    "agent": (b"GET /workers", b"User-Agent: \xff\xfe\r\nOrigin: \xff\r\n", 403),
    "site": (b"GET /workers", b"Sec-Fetch-Site: \xff\r\n", 403),
    "prefer": (b"GET /execute?code=print(1)", b"Prefer: \xff\r\n", 200),
    "key": (b"GET /execute?code=print(1)", b"Idempotency-Key: \xff\r\n", 400),
    "cookie": (b"GET /workers", b"Cookie: \xff=\xff; \xfe\r\n", 200),
    "digits": (b"POST /execute", b"Content-Length: " + b"9" * 5000 + b"\r\n", 413),
    "two hosts": (b"GET /healthz", b"Host: localhost\r\n", 400),
    "method": (b"\xff /healthz", b"", 400),
    "unknown method": (b"FOO /healthz", b"", 405),
    "unknown method of execute": (b"FOO /execute?code=print(1)", b"", 405),
    "odd token": (b"!#$ /execute?code=print(1)", b"", 405),
    "continue": (b"POST /execute", b"Expect: \xff\r\nContent-Length: 0\r\n", 415),
    "connection": (b"GET /workers", b"Connection: \xff\r\n", 200),
    "query": (b"GET /execute?\xa9=1", b"", 400),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_header_or_method_has_an_answer_of_ours_and_no_traceback(
    runyard: System, name: str
) -> None:
    line, headers, expected = ODD[name]
    request = line + b" HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n"
    status, answer, log = said(runyard, request + b"x")
    assert (status, log) == (expected, ""), answer
    assert b"<html" not in answer.lower()


@pytest.mark.parametrize("host", [b"\xff\xfe", b"\xc3\xa4" * 70 + b".x", b"a" * 64, b"", b"a..b"])
def test_an_odd_host_is_a_problem_even_where_any_name_may_ask(runyard: System, host: bytes) -> None:
    status, answer, log = said(runyard, b"GET /healthz HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert (status, log) == (400, "")
    assert b"application/problem+json" in answer


FORM = "application/x-www-form-urlencoded"


FORMS = {
    "separators": (b"&" * (32 * MIB), FORM),
    "fields": (b"aa&" * (32 * MIB // 3), FORM),
    "escapes": (b"code=" + b"%41" * (32 * MIB // 3 - 10), FORM),
    "largest code": (b"code=%23" + b"%41" * (MIB - 1), FORM),
    "part": (
        b'--x\r\nContent-Disposition: form-data; name="code"\r\n\r\n'
        + b"\r\n--y" * (5 * MIB) + b"\r\n--x--\r\n",
        "multipart/form-data; boundary=x",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", quick_of(FORMS, "fields", "largest code"))
def test_a_bomb_of_a_form_holds_neither_memory_nor_the_reactor(runyard: System, name: str) -> None:
    body, media = FORMS[name]
    watch = Watch(runyard, 1.5)
    answer = requests.post(
        f"{runyard.url}/execute", data=body, timeout=60, headers={"Content-Type": media}
    )
    assert answer.status_code in (200, 400, 413)
    assert len(answer.content) < 3000
    lag = watch.lag()
    assert lag < 4 * LAG_MS
    assert watch.growth() < 200 * MIB
