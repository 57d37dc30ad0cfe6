"""What every request passes before it is routed: the browser's rules, and preflights."""

from __future__ import annotations

from runyard.sched.answers import Answer, answer_refusal, wants_json
from runyard.sched.browser import BrowserRules
from runyard.sched.web import BoundedRequest, Gate

READABLE = "X-Task-Id, X-Task-State, X-Task-Outcome, Location, Retry-After"


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
