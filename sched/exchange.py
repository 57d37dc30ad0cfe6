"""Small readings of a request, and the writing of an answer."""

from __future__ import annotations

from http import HTTPStatus

from runyard.sched.answers import Answer
from runyard.sched.errors import Kind, Refusal, malformed
from runyard.sched.web import BoundedRequest

LONGEST_POLL_S = 300.0


def send(request: BoundedRequest, answer: Answer) -> bytes:
    """Write an answer's status and headers; give its body, which Klein writes."""
    request.setResponseCode(answer.status, HTTPStatus(answer.status).phrase.encode())
    for name, value in answer.all_headers():
        request.setHeader(name, value)
    return answer.body


def not_allowed(allowed: str) -> Refusal:
    """Refuse a method, naming those that the path has."""
    return Refusal(Kind.METHOD, f"allowed are {allowed}", headers=(("Allow", allowed),))


def no_path() -> Refusal:
    """Refuse a path that there is not."""
    return Refusal(Kind.NOT_FOUND, "there is no such path")


def prefers_async(request: BoundedRequest) -> bool:
    """Whether the client asks not to be kept waiting (RFC 7240)."""
    prefer = request.getHeader("prefer") or ""
    return "respond-async" in [part.strip().lower() for part in prefer.split(",")]


def wait_seconds(request: BoundedRequest) -> float:
    """Read ``?wait=SECONDS``; 0 without it.

    Raises:
        Refusal: it is something else, or out of range.
    """
    name, _, value = request.query.partition(b"=")
    if name != b"wait":
        no_query(request, "wait=SECONDS or nothing")
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_POLL_S:
        raise malformed("wait", value, f"seconds, 0 to {LONGEST_POLL_S:g}")
    return seconds


def no_query(request: BoundedRequest, allowed: str = "nothing") -> None:
    """Refuse a query, which would otherwise be ignored.

    Raises:
        Refusal: there is one.
    """
    if request.query.startswith(b"purge="):
        allowed = "not supported yet"
    if request.query:
        raise malformed("query", request.query, allowed)
