"""HTTP answers as values: status, headers, body. Pure."""

from __future__ import annotations

import json
from typing import Any

from attrs import frozen

from runyard.sched.documents import hop_times, plain_text, text_status
from runyard.sched.errors import Refusal
from runyard.sched.tickets import Ticket

TEXT = "text/plain; charset=utf-8"
PROBLEM = "application/problem+json"


@frozen
class Answer:
    """What is sent."""

    status: int
    body: bytes
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_ticket(cls, ticket: Ticket, status: int, body: bytes, content_type: str) -> Answer:
        """Make an answer about a task, with the headers that tell which and how it is."""
        headers = [("X-Task-Id", ticket.task.id), ("X-Task-State", ticket.state.value)]
        if ticket.ended is not None:
            headers.append(("X-Task-Outcome", ticket.ended.outcome.value))
        if status == 202:
            headers.append(("Location", f"/tasks/{ticket.task.id}"))
        if status == 503:
            headers.append(("Retry-After", "5"))
        return cls(status, body, content_type, tuple(headers))

    def all_headers(self) -> list[tuple[str, str]]:
        """Give every header: no result is ever kept by a cache or guessed to be markup."""
        return [
            ("Content-Type", self.content_type),
            ("Content-Length", str(len(self.body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            *self.headers,
        ]


def answer_json(document: Any, status: int = 200) -> Answer:
    """Answer with a small JSON document."""
    body = json.dumps(document, ensure_ascii=False).encode() + b"\n"
    return Answer(status, body, "application/json")


def answer_refusal(refusal: Refusal, *, as_text: bool) -> Answer:
    """Answer with a refusal, as plain text where the caller parses whatever it gets."""
    body = refusal.text() if as_text else refusal.document()
    kind = TEXT if as_text else PROBLEM
    return Answer(refusal.kind.status, body, kind, refusal.headers)


def answer_text(ticket: Ticket, *, debug: bool) -> Answer:
    """Answer `GET /execute` of a finished task in its plain form."""
    ended = ticket.result
    answer = Answer.of_ticket(ticket, text_status(ended), plain_text(ended), TEXT)
    if not debug:
        return answer
    times = ", ".join(f"{n.removesuffix('_ms')};dur={ms}" for n, ms in hop_times(ticket).items())
    return Answer(
        answer.status, answer.body, answer.content_type, (*answer.headers, ("Server-Timing", times))
    )


def wants_json(accept: str | None) -> bool:
    """Whether an Accept header names JSON (a mere wildcard does not)."""
    kinds = [part.partition(";")[0].strip().lower() for part in (accept or "").split(",")]
    return "application/json" in kinds
