"""The form of a request's head, checked before anything reads it: pure.

What routes requests decodes ``%41`` and drops a leading slash; what compares paths does not. Only
paths that both read alike get past here. The names of tasks' files need others: they are taken off
the path before, and are never routed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv6Address

from runyard.sched.errors import Kind, Refusal, malformed

MOST_HOST = 255
_PLAIN_PATH = re.compile(rb"(?:/[!-$&-.0-\[\]-~]+)*/?")
_HOST = re.compile(rb"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9_.-]+))(?::[0-9]{0,5})?")
_NAME = re.compile(rb"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
_LONGEST_LENGTH = 15
_FILE = re.compile(rb"(/tasks/[0-9a-f-]{36}/files)/((?:[!$-.0-~]|%[0-9A-Fa-f]{2}|/(?!/))+)")


def split_file(path: bytes) -> tuple[bytes, bytes]:
    """Part the path of a task's file into the route and the name, percent-encoded as it came.

    Of any other path the name is empty.
    """
    found = _FILE.fullmatch(path)
    return (found[1], found[2]) if found is not None else (path, b"")


def refuse_head(path: bytes, hosts: Sequence[bytes]) -> Refusal | None:
    """Say why a request line or its Host is not taken; None takes it."""
    if len(hosts) > 1:
        return malformed("Host", f"{len(hosts)} of them", "one Host header")
    if hosts and not is_host(hosts[0]):
        return malformed("Host", hosts[0], "a name or an address, with a port or without")
    if not is_plain(path):
        return Refusal(Kind.NOT_FOUND, "there is no such path: none of ours is written like that")
    return None


def is_plain(path: bytes) -> bool:
    """Whether a path is of visible ASCII without escapes, backslashes and empty segments."""
    return path.startswith(b"/") and _PLAIN_PATH.fullmatch(path) is not None


def is_host(host: bytes) -> bool:
    """Whether a Host header is a DNS name, an IPv4 address or an IPv6 address in brackets."""
    found = _HOST.fullmatch(host)
    if found is None or len(host) > MOST_HOST:
        return False
    if found[1] is None:
        return _NAME.fullmatch(found[2]) is not None
    try:
        IPv6Address(found[1].decode())
    except AddressValueError:
        return False
    return True


def plain_length(digits: bytes) -> bytes | None:
    """Give a Content-Length's digits without leading zeros, None where they are absurdly many."""
    stripped = digits.lstrip(b"0") or b"0"
    return stripped if len(stripped) <= _LONGEST_LENGTH else None
