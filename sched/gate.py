"""What every request passes before it is routed: whose address it is from, a browser's rules."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from runyard.sched.answers import Answer, answer_refusal, wants_json
from runyard.sched.browser import BrowserRules
from runyard.sched.errors import Kind, Refusal
from runyard.sched.web import BoundedRequest, Gate

READABLE = "X-Task-Id, X-Task-State, X-Task-Outcome, Location, Retry-After"


def in_turn(*gates: Gate) -> Gate:
    """Make one gate of several: the first that answers does."""

    def gate(request: BoundedRequest) -> Answer | None:
        for each in gates:
            answer = each(request)
            if answer is not None:
                return answer
        return None

    return gate


def workers_gate(is_worker: Callable[[str], bool]) -> Gate:
    """Refuse who calls from a worker's host: what escapes there must not give itself more work.

    This machine's own addresses are never refused.
    """

    def gate(request: BoundedRequest) -> Answer | None:
        client, server = (
            plain_ip(getattr(each, "host", ""))
            for each in (request.getClientAddress(), request.getHost())
        )
        if client == server or not is_worker(client):
            return None
        text = "calls from a worker's host are refused: tasks there could make more tasks"
        as_text = request.path == b"/execute" and request.method == b"GET"
        return answer_refusal(Refusal(Kind.FORBIDDEN, text), as_text=as_text)

    return gate


def plain_ip(host: str) -> str:
    """Give an address in its one form; an IPv4 address that came as IPv6 is IPv4."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def browser_gate(rules: BrowserRules) -> Gate:
    """Make the gate of a site."""

    def gate(request: BoundedRequest) -> Answer | None:
        header = request.getHeader
        origin = header("origin")
        if rules.allows(origin):
            request.setHeader("Access-Control-Allow-Origin", origin)
            request.setHeader("Access-Control-Expose-Headers", READABLE)
            request.setHeader("Vary", "Origin")
        refusal = rules.refuse(request.method, request.path, header)
        if refusal is not None:
            as_text = request.path == b"/execute" and request.method == b"GET"
            return answer_refusal(refusal, as_text=as_text and not wants_json(header("accept")))
        if request.method == b"OPTIONS" and header("access-control-request-method") is not None:
            return _preflight() if rules.allows(origin) else None
        return None

    return gate


def _preflight() -> Answer:
    headers = (
        ("Access-Control-Allow-Methods", "GET, POST, DELETE"),
        ("Access-Control-Allow-Headers", "Content-Type, Prefer, Idempotency-Key, Authorization"),
        ("Access-Control-Max-Age", "600"),
    )
    return Answer(204, b"", "text/plain", headers)
