"""What is huge, slow or odd at the real socket: a right answer, flat memory, a live reactor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
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
    assert lag < 4 * LAG_MS, "one text of 16 MiB is one step of the scanner"


BOMBS = {
    "arrays": b"[" + b"[]," * (10 * MIB) + b"[]]",
    "nesting": b"[" * (30 * MIB),
    "objects": b'{"a":' * (6 * MIB),
    "digits": b'{"timeout": ' + b"9" * (30 * MIB) + b"}",
    "names": b'{"a":1,' * MIB,
    "escapes": b'{"code": "' + b"\\u0000" * (5 * MIB) + b'"}',
}


@pytest.mark.parametrize("name", quick_of(BOMBS, "nesting", "names"))
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
    assert lag < 4 * LAG_MS


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
