"""Valid HTTP requests, and ways to spoil them: pure functions of a random generator.

The programs in them are harmless, and so is whatever becomes of `print(1)` when bytes of it change.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random
from urllib.parse import quote_plus

from attrs import frozen

HOST = b"Host: localhost\r\n"
CODE = "print(1)"
ONCE = quote_plus(CODE).encode()
TWICE = quote_plus(quote_plus(CODE)).encode()
LONG = quote_plus(CODE + "\n# " + "x" * 3000).encode()
JSON = b'{"code": "print(1)", "timeout": 2, "name": "n", "args": ["a"], "env": {"A": "b"}}'
FORM = b"code=" + ONCE + b"&timeout=2&priority=1"
PARTS = (
    b'--XX\r\nContent-Disposition: form-data; name="code"; filename="a.py"\r\n'
    b"Content-Type: text/x-python\r\n\r\nprint(1)\r\n"
    b'--XX\r\nContent-Disposition: form-data; name="timeout"\r\n\r\n2\r\n--XX--\r\n'
)

MOST_BYTES = 500_000

Mutation = Callable[[Random, bytes], bytes]


@frozen
class Request:
    """A valid request (or several), and the status of its first answer where that is certain."""

    data: bytes
    status: int | None


def get(target: bytes, headers: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"GET " + target + b" HTTP/" + version + b"\r\n" + HOST + headers + b"\r\n"


def post(kind: bytes, body: bytes, headers: bytes = b"", target: bytes = b"/execute") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    head = b"POST " + target + b" HTTP/1.1\r\n" + HOST + b"Content-Type: " + kind + b"\r\n"
    return head + length + headers + b"\r\n" + body


def chunked(kind: bytes, *chunks: bytes) -> bytes:
    head = b"POST /execute HTTP/1.1\r\n" + HOST + b"Content-Type: " + kind + b"\r\n"
    body = b"".join(b"%x;a=b\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\nX-After: 1\r\n\r\n"


def corpus(task_id: str) -> list[Request]:
    """Give one request of each form that the server takes; the task is finished, or forgotten."""
    task = task_id.encode()
    run = b"/execute?code=" + ONCE
    return [
        Request(get(run), 200),
        Request(get(b"/execute?code=" + TWICE + b"&encoding=twice&timeout=2"), 200),
        Request(get(b"/execute?code=" + LONG), 200),
        Request(get(run, b"Accept: application/json\r\nPrefer: respond-async\r\n"), 202),
        Request(get(run, b"Connection: close\r\n"), 200),
        Request(get(run, b"Connection: keep-alive\r\n", b"1.0"), 200),
        Request(get(run, b"Origin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\n"), 403),
        Request(post(b"application/json", JSON), 200),
        Request(post(b"application/json", JSON, b"Expect: 100-continue\r\n"), 200),
        Request(post(b"application/x-www-form-urlencoded", FORM), 200),
        Request(post(b"multipart/form-data; boundary=XX", PARTS), 200),
        Request(post(b"text/x-python", b"print(1)\n", target=b"/execute?timeout=2&wait=no"), 202),
        Request(chunked(b"text/plain; charset=utf-8", b"pri", b"nt(1)"), 200),
        Request(chunked(b"application/json", JSON[:20], JSON[20:]), 200),
        Request(get(b"/healthz") + get(run) + get(b"/workers") + get(b"/nowhere"), 200),
        Request(post(b"text/plain", b"print(1)") * 3, 200),
        Request(b"HEAD" + get(run)[3:] + get(b"/healthz"), 405),
        Request(b"OPTIONS" + get(b"/execute", b"Access-Control-Request-Method: GET\r\n")[3:], 405),
        Request(b"DELETE" + get(b"/tasks/" + task)[3:], None),
        Request(get(b"/tasks/" + task + b"?wait=1") + get(b"/tasks/" + task + b"/stdout"), None),
        Request(get(b"/"), 200),
    ]


LENGTHS = (
    b"0", b"1", b"8", b"+8", b"-1", b"0x8", b"8, 8", b"8, 9", b" 8", b"8 ", b"", b"1e1", b"\xb2",
    b"33554433", b"18446744073709551616", b"9" * 5000, b"00000000000000000000008", b"8\x00",
)  # fmt: skip
ENCODINGS = (
    b"chunked", b"Chunked", b"\tchunked", b"identity", b"gzip, chunked", b"chunked, chunked",
    b"xchunked", b"\x0bchunked", b"chunked;q=1", b"", b"chunked\x00", b"gzip",
)  # fmt: skip
CHUNK_SIZES = (
    b"0", b"", b"-1", b"+8", b"0x8", b"8 ", b" 8", b"8;" + b"a" * 5000, b"F" * 17, b"g",
    b"7fffffff", b'8;a="\n"', b"8\x00", b"00000000000000008", b"2000001",
)  # fmt: skip
METHODS = (b"HEAD", b"PUT", b"TRACE", b"CONNECT", b"PRI", b"get", b"G\xcbT", b"", b"GET GET")
VERSIONS = (b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.1.1", b"http/1.1", b"HTTP/1.\xb9", b"HTTP/9999", b"")
ODD_HEADERS = (
    b"Host: \xff\xfe", b"Host: evil.example", b"Accept: \x84", b": empty", b"A b: c", b"A : b",
    b"no colon", b"Expect: 100-continue", b"Expect: 200", b"Connection: close, keep-alive",
    b"Connection: Upgrade", b"Upgrade: websocket", b"Idempotency-Key: 1", b"Content-Encoding: gzip",
    b"Content-Type: text/plain; charset=\xff", b"Content-Type: multipart/form-data; boundary=",
    b'Content-Type: ;;;="', b"Prefer: \xe9", b"Origin: null", b"User-Agent: Mozilla/5.0",
    b"Cookie: " + b"a=b;" * 500, b"X-Long: " + b"x" * 70_000, b"\x00: \x00",
    b"Sec-Fetch-Site: \xff", b"Host: " + b"x" * 64, b"Host: .localhost",
)  # fmt: skip
SMALL = (b"GET /x HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"PUT / HTTP/1.1\r\n\r\n")
ODD_BYTES = (
    b"\0", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b"%", b"%zz", b"%ff", b"\xff",
    b"/", b"//", b"?", b";",
)  # fmt: skip
HEADER = re.compile(rb"\r\n[A-Za-z-]+:[^\r\n]*(?=\r\n)")
NUMBER = re.compile(rb"\d+")
CHUNK = re.compile(rb"(?<=\r\n)[0-9a-f]+;a=b(?=\r\n)")
LINE_END = re.compile(rb"\r\n")


def _at(rng: Random, data: bytes) -> int:
    return rng.randint(0, len(data))


def _replace(rng: Random, data: bytes, what: re.Pattern[bytes], by: bytes) -> bytes:
    found = list(what.finditer(data))
    if not found:
        return data
    one = rng.choice(found)
    return data[: one.start()] + by + data[one.end() :]


def _insert_header(rng: Random, data: bytes, line: bytes) -> bytes:
    ends = [each.start() for each in LINE_END.finditer(data)] or [len(data)]
    at = rng.choice(ends[:4])
    return data[:at] + b"\r\n" + line + data[at:]


def flip_bits(rng: Random, data: bytes) -> bytes:
    spoilt = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        if spoilt:
            spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


def insert_bytes(rng: Random, data: bytes) -> bytes:
    at = _at(rng, data)
    odd = rng.choice((*ODD_BYTES, rng.randbytes(rng.randint(1, 20))))
    return data[:at] + odd * rng.choice((1, 1, 1, 2, 50)) + data[at:]


def delete_bytes(rng: Random, data: bytes) -> bytes:
    at = _at(rng, data)
    return data[:at] + data[at + rng.choice((1, 1, 2, 5, 40)) :]


def truncate(rng: Random, data: bytes) -> bytes:
    return data[: _at(rng, data)]


def repeat_block(rng: Random, data: bytes) -> bytes:
    start, end = sorted((_at(rng, data), _at(rng, data)))
    return data[:end] + data[start:end] * rng.choice((1, 1, 2, 20)) + data[end:]


def odd_line_end(rng: Random, data: bytes) -> bytes:
    return _replace(rng, data, LINE_END, rng.choice((b"\n", b"\r", b"\r\r\n", b"\n\r", b"")))


def all_bare_line_ends(rng: Random, data: bytes) -> bytes:
    return data.replace(b"\r\n", rng.choice((b"\n", b"\r")))


def fold_header(rng: Random, data: bytes) -> bytes:
    return _insert_header(rng, data, rng.choice((b" folded", b"\tfolded: x", b"A: b\r\n c\r\n\td")))


def odd_length(rng: Random, data: bytes) -> bytes:
    return _insert_header(rng, data, b"Content-Length: " + rng.choice(LENGTHS))


def odd_encoding(rng: Random, data: bytes) -> bytes:
    return _insert_header(rng, data, b"Transfer-Encoding: " + rng.choice(ENCODINGS))


def odd_header(rng: Random, data: bytes) -> bytes:
    return _insert_header(rng, data, rng.choice(ODD_HEADERS))


def double_header(rng: Random, data: bytes) -> bytes:
    found = HEADER.findall(data)
    return _insert_header(rng, data, rng.choice(found)[2:]) if found else data


def many_headers(rng: Random, data: bytes) -> bytes:
    return _insert_header(rng, data, b"\r\n".join([b"X-Many: y"] * rng.choice((99, 499, 9_999))))


def odd_chunk_size(rng: Random, data: bytes) -> bytes:
    return _replace(rng, data, CHUNK, rng.choice(CHUNK_SIZES))


def giant_number(rng: Random, data: bytes) -> bytes:
    digits = rng.choice((b"9" * 20, b"9" * 5000, b"-1", b"1e999", b"NaN", b"4294967296", b"00"))
    return _replace(rng, data, NUMBER, digits)


def odd_method(rng: Random, data: bytes) -> bytes:
    return rng.choice(METHODS) + data[data.find(b" ") :]


def odd_version(rng: Random, data: bytes) -> bytes:
    return _replace(rng, data, re.compile(rb"HTTP/1\.[01]"), rng.choice(VERSIONS))


def long_line(rng: Random, data: bytes) -> bytes:
    at = _at(rng, data[:40])
    return data[:at] + b"x" * rng.choice((20_000, 262_144, 400_000)) + data[at:]


def flood(rng: Random, data: bytes) -> bytes:
    """Send many small requests ahead."""
    return rng.choice(SMALL) * 200 + data


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits, flip_bits, insert_bytes, insert_bytes, delete_bytes, truncate, repeat_block,
    odd_line_end, all_bare_line_ends, fold_header, odd_length, odd_length, odd_encoding,
    odd_encoding, odd_header, odd_header, double_header, many_headers, odd_chunk_size,
    odd_chunk_size, giant_number, odd_method, odd_version, long_line, flood,
)  # fmt: skip


def spoil(rng: Random, data: bytes, others: list[Request]) -> bytes:
    """Apply a few mutations; sometimes splice with another request or have one follow."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        data = rng.choice(MUTATIONS)(rng, data)[:MOST_BYTES]
    if rng.random() < 0.15:
        other = rng.choice(others).data
        data = data[: _at(rng, data)] + other[_at(rng, other) :]
    if rng.random() < 0.15:
        data += rng.choice(others).data
    return data
