"""What is huge, slow or odd at the real socket: a right answer, flat memory, a live reactor."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote_plus, urlsplit

import psutil
import pytest
import requests
from harness import System, system

MIB = 1024 * 1024
LAG_MS = 50.0


@pytest.fixture(scope="module")
def runyard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder: Path = tmp_path_factory.mktemp("front") / "state"
    with system(folder, "--head-timeout=1", "--max-connections=40") as running:
        yield running


class Client:
    """A raw connection."""

    def __init__(self, runyard: System) -> None:
        parts = urlsplit(runyard.url)
        assert parts.hostname is not None
        self.socket = socket.create_connection((parts.hostname, parts.port or 0), timeout=30)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> tuple[int, bytes]:
        """Read to the end of the connection or of the first answer; give (status, everything)."""
        data = b""
        while b"\r\n\r\n" not in data or len(data) < _length(data):
            piece = self.socket.recv(65_536)
            if not piece:
                break
            data += piece
        assert data, "closed without a word"
        return int(data.split(b" ", 2)[1]), data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def _length(data: bytes) -> int:
    head, _, _ = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return len(head) + 4 + int(line.partition(b":")[2])
    return 1 << 62


class Watch:
    """Watches the scheduler's reactor and memory while something is done to it."""

    def __init__(self, runyard: System, seconds: float) -> None:
        self._process = psutil.Process(runyard.daemon.pid)
        self._before = self._process.memory_info().rss
        self._pool = ThreadPoolExecutor(1)
        self._lag: Future[requests.Response] = self._pool.submit(
            requests.get, f"{runyard.debug_url}/debug/lag", params={"wait": seconds}, timeout=60
        )

    def growth(self) -> int:
        return int(self._process.memory_info().rss) - int(self._before)

    def lag(self) -> float:
        worst: float = self._lag.result().json()["worst_own_ms"]
        self._pool.shutdown()
        return worst


def test_a_300_mb_chunked_body_is_cut_off_with_413_and_memory_stays_flat(runyard: System) -> None:
    watch = Watch(runyard, 2)
    with Client(runyard) as client:
        client.send(
            b"POST /execute HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        chunk = b"%x\r\n" % MIB + b"x" * MIB + b"\r\n"
        for _ in range(300):
            client.send(chunk)
        status, _ = client.answer()
    assert status == 413
    assert watch.growth() < 80 * MIB, "32 MiB are kept while they might still be a request"
    lag = watch.lag()
    assert lag < LAG_MS


@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"])
def test_a_100_gb_content_length_is_413_at_once(runyard: System, expect: bytes) -> None:
    with Client(runyard) as client:
        head = b"POST /execute HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000000\r\n"
        client.send(head + expect + b"\r\n")
        status, data = client.answer()
    assert status == 413
    assert b"100 Continue" not in data
    assert b"at most 33554432" in data


def test_a_413_reaches_a_client_that_sends_everything_first(runyard: System) -> None:
    answer = requests.post(
        f"{runyard.url}/execute", data=b"x" * (40 * MIB), timeout=60,
        headers={"Content-Type": "text/x-python"},
    )  # fmt: skip
    assert answer.status_code == 413
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(("size", "expected"), [(20_000, 200), (60_000, 200), (200_000, 431)])
def test_headers_up_to_their_limit_pass_and_beyond_it_are_431(
    runyard: System, size: int, expected: int
) -> None:
    headers = b"".join(b"X-%d: %s\r\n" % (n, b"y" * 990) for n in range(size // 1000))
    with Client(runyard) as client:
        client.send(
            b"GET /execute?code=print(1) HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n"
        )
        status, _ = client.answer()
    assert status == expected


@pytest.mark.parametrize("size", [15_000, 16_384, 20_000, 70_000, 255 * 1024 - 200])
def test_a_long_twice_encoded_get_runs_whole(runyard: System, size: int) -> None:
    program = "print(1)#"
    once = quote_plus(program)
    encoded = quote_plus(once + "x" * (size - len(quote_plus(once))))
    watch = Watch(runyard, 0.5)
    answer = requests.get(f"{runyard.url}/execute?code={encoded}", timeout=30)
    assert (answer.status_code, answer.content) == (200, b"1\n")
    lag = watch.lag()
    assert lag < LAG_MS


def test_one_that_is_too_long_is_414_and_the_next_connection_works(runyard: System) -> None:
    answer = requests.get(f"{runyard.url}/execute?code=print(1)%23{'x' * 270_000}", timeout=30)
    assert answer.status_code == 414
    assert "POST" in answer.text
    assert answer.text.startswith("runyard: 414"), "no client of GET parses it"
    assert runyard.get("print(1)").text == "1\n"


def test_the_largest_request_and_result_do_not_stall_the_reactor(runyard: System) -> None:
    stdin = 'abcdefgh"\n\x01é' * (16 * MIB // 13)
    document = {
        "code": "import sys; sys.stdout.write(sys.stdin.read())",
        "stdin": stdin, "limits": {"output_bytes": 16 * MIB}, "timeout": 60,
    }  # fmt: skip
    body = json.dumps(document, ensure_ascii=False).encode()
    watch = Watch(runyard, 6)
    answer = requests.post(
        f"{runyard.url}/execute", data=body, timeout=60,
        headers={"Content-Type": "application/json"},
    )  # fmt: skip
    assert answer.json()["stdout"] == stdin
    lag = watch.lag()
    assert lag < LAG_MS


BOMBS = {
    "arrays": b"[" + b"[]," * (10 * MIB) + b"[]]",
    "nesting": b"[" * (30 * MIB),
    "objects": b'{"a":' * (6 * MIB),
    "digits": b'{"timeout": ' + b"9" * (30 * MIB) + b"}",
    "names": b'{"a":1,' * MIB,
    "escapes": b'{"code": "' + b"\\u0000" * (5 * MIB) + b'"}',
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_of_json_is_refused_with_others_served_beside_it(runyard: System, name: str) -> None:
    watch = Watch(runyard, 1.5)
    with ThreadPoolExecutor(1) as pool:
        bomb = pool.submit(
            requests.post, f"{runyard.url}/execute", data=BOMBS[name], timeout=60,
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        assert runyard.get("print('beside')").text == "beside\n"
        answer = bomb.result()
    assert answer.status_code == 400, answer.text[:200]
    assert len(answer.content) < 2000
    lag = watch.lag()
    assert lag < LAG_MS


def test_an_address_that_was_not_encoded_is_told_how(runyard: System) -> None:
    with Client(runyard) as client:
        client.send("GET /execute?code=print('é') HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        status, data = client.answer()
    assert status == 400
    assert b"%XX" in data
    assert b"text/plain" in data


def test_a_dripping_client_is_told_and_closed(runyard: System) -> None:
    with Client(runyard) as client:
        client.send(b"GET /execute?code=print(1) HTTP/1.1\r\nHost: localhost\r\n")
        status, data = client.answer()
        assert status == 408
        assert b"too little" in data
        assert client.socket.recv(1000) == b""


def test_connections_are_capped_and_served_again_when_some_are_gone(runyard: System) -> None:
    clients = [Client(runyard) for _ in range(40)]
    try:
        with Client(runyard) as one_more:
            status, data = one_more.answer()
            assert status == 503
            assert b"40 connections" in data
    finally:
        for client in clients:
            client.socket.close()
    assert runyard.get("print(1)").text == "1\n"


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


@pytest.mark.parametrize("name", FORMS)
def test_a_bomb_of_a_form_holds_neither_memory_nor_the_reactor(runyard: System, name: str) -> None:
    body, media = FORMS[name]
    watch = Watch(runyard, 1.5)
    answer = requests.post(
        f"{runyard.url}/execute", data=body, timeout=60, headers={"Content-Type": media}
    )
    assert answer.status_code in (200, 400, 413)
    assert len(answer.content) < 3000
    lag = watch.lag()
    assert lag < LAG_MS
    assert watch.growth() < 200 * MIB
