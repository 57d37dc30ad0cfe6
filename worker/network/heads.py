"""Heads of HTTP/1 requests and answers, read strictly and written anew for the next hop. Pure."""

from __future__ import annotations

import re

from attrs import frozen

from runyard.worker.network.framing import Malformed
from runyard.worker.network.targets import Target, read_host, read_port, shown, split_port

MOST_FIELDS = 256
# Possessive (`*+`) where a part may match what the next one does too: one that is given back and
# tried again makes the time of a head that does not match grow with the square of its length.
_REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) ([\x21-\x7e]+) HTTP/(1\.[01])")
_STATUS = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*+([\t\x20-\x7e\x80-\xff]*)")
_URI = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#]*+)([^#]*+)", re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,15}")
_OF_THE_HOP = frozenset(
    {b"connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"transfer-encoding"}
)
_OURS = frozenset({b"host", b"content-length"})

Fields = list[tuple[bytes, bytes]]


@frozen
class Request:
    """What a request asks of the proxy.

    Attributes:
        head: What is sent on for it; None for CONNECT.
        length: Bytes of its body; None where it comes in chunks.
    """

    target: Target
    head: bytes | None
    length: int | None


def read_request(head: bytes) -> Request:
    """Read a request's head: CONNECT, or one with an absolute `http://` URI.

    Raises:
        Malformed: it is neither, or could be read in two ways.
    """
    line, *lines = head.split(b"\r\n")
    found = _REQUEST.fullmatch(line)
    if found is None:
        raise Malformed(f"{shown(line.decode('latin-1'))} is no request line of HTTP/1")
    method, uri, version = found[1], found[2].decode("ascii"), found[3]
    fields = _fields(lines)
    length = _body_length(fields, version)
    if method == b"CONNECT":
        return Request(_authority(uri, None), None, 0)
    target, authority, path = _absolute(uri, method)
    sent = [(b"Host", authority), *_passed_on(fields)]
    if length is None:
        sent.append((b"Transfer-Encoding", b"chunked"))
    elif any(name.lower() == b"content-length" for name, _ in fields):
        sent.append((b"Content-Length", b"%d" % length))
    first = b"%b %b HTTP/%b" % (method, path, version)
    return Request(target, _written(first, sent), length)


def rewrite_answer(head: bytes) -> tuple[int, bytes]:
    """Read an answer's head; give its status and what is sent on for it.

    Raises:
        Malformed: it is no head of HTTP/1.
    """
    line, *lines = head.split(b"\r\n")
    found = _STATUS.fullmatch(line)
    if found is None:
        raise Malformed("its answer is no HTTP/1", "502 Bad Gateway")
    status, wrong = int(found[1]), "502 Bad Gateway"
    _check_count(lines, wrong)  # before they are joined: each copies what it is joined to
    fields = _fields(_unfolded(lines), wrong)
    framing = (b"content-length", b"transfer-encoding")  # its body passes as it is
    kept = [f for f in fields if f[0].lower() in framing]
    return status, _written(line, [*_passed_on(fields, wrong), *kept], close=status >= 200)


def _check_count(parts: list[bytes], status: str) -> None:
    if len(parts) > MOST_FIELDS:
        raise Malformed(f"there are more than {MOST_FIELDS} header fields", status)


def _fields(lines: list[bytes], status: str = "400 Bad Request") -> Fields:
    _check_count(lines, status)
    fields = []
    for line in lines:
        if line.startswith((b" ", b"\t")):
            raise Malformed("a header field is folded over several lines", status)
        found = _FIELD.fullmatch(line)
        if found is None:
            raise Malformed(f"{shown(line.decode('latin-1'))} is no header field", status)
        fields.append((found[1], found[2].rstrip(b" \t")))
    return fields


def _unfolded(lines: list[bytes]) -> list[bytes]:
    """Join what old servers fold: a task that reads its own answer cannot be fooled by it."""
    joined: list[bytes] = []
    for line in lines:
        if joined and line.startswith((b" ", b"\t")):
            joined[-1] += b" " + line.strip(b" \t")
        else:
            joined.append(line)
    return joined


def _body_length(fields: Fields, version: bytes) -> int | None:
    """Give the length of a request's body, None for chunks; refuse what two servers read apart."""
    lengths = [value for name, value in fields if name.lower() == b"content-length"]
    codings = [value.lower() for name, value in fields if name.lower() == b"transfer-encoding"]
    if codings:
        if lengths:
            raise Malformed("there are both Content-Length and Transfer-Encoding")
        if codings != [b"chunked"] or version != b"1.1":
            raise Malformed("of transfer codings only chunked is taken, once, in HTTP/1.1")
        return None
    if len(lengths) > 1 or (lengths and not _LENGTH.fullmatch(lengths[0])):
        raise Malformed("Content-Length is not one number")
    return int(lengths[0]) if lengths else 0


def _absolute(uri: str, method: bytes) -> tuple[Target, bytes, bytes]:
    """Give the target, the authority as it was written and the path of an absolute URI."""
    found = _URI.fullmatch(uri)
    if found is None:
        raise Malformed(f"this is a proxy: {shown(uri)} is no absolute URI")
    scheme, authority, rest = found[1].lower(), found[2], found[3]
    if scheme != "http":
        raise Malformed(f"the proxy takes http:// URIs; {scheme}:// goes through CONNECT")
    target = _authority(authority, 80)
    if not rest and method == b"OPTIONS":
        rest = "*"
    elif not rest.startswith("/"):
        rest = "/" + rest
    return target, authority.encode("ascii"), rest.encode("ascii")


def _authority(text: str, default: int | None) -> Target:
    if "@" in text:
        raise Malformed("a user in the URI is not taken")
    try:
        host, port_text = split_port(text)
        port = read_port(port_text or "") if port_text or default is None else default
        return Target(read_host(host), port)
    except ValueError as error:
        raise Malformed(str(error)) from None


def _passed_on(fields: Fields, status: str = "400 Bad Request") -> Fields:
    """Leave out what is of this hop, what Connection names, and what is written anew."""
    listed = b",".join(value for name, value in fields if name.lower() == b"connection")
    named = listed.split(b",")
    _check_count(named, status)
    dropped = _OF_THE_HOP | _OURS | {each.strip().lower() for each in named}
    return [
        (name, value)
        for name, value in fields
        if name.lower() not in dropped and not name.lower().startswith(b"proxy-")
    ]


def _written(first: bytes, fields: Fields, *, close: bool = True) -> bytes:
    lines = [first, *(name + b": " + value for name, value in fields)]
    if close:
        lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n"
