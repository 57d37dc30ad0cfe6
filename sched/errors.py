"""Refusals: every way in which a request does not become a task, and how HTTP says it."""

from __future__ import annotations

import json
import reprlib
from enum import Enum

from attrs import field, frozen


class Kind(Enum):
    """The kinds of refusal: HTTP status and title (RFC 9457)."""

    MALFORMED = (400, "The request is malformed")
    FORBIDDEN = (403, "The request is not allowed")
    NOT_FOUND = (404, "There is no such thing")
    METHOD = (405, "The method is not allowed here")
    TOO_SLOW = (408, "The request came too slowly")
    TOO_LARGE = (413, "The body is too large")
    URI_TOO_LONG = (414, "The request line is too long")
    MEDIA_TYPE = (415, "The content type is not supported")
    HEADERS_TOO_LARGE = (431, "The headers are too large")
    INTERNAL = (500, "A fault of the scheduler")
    UNAVAILABLE = (503, "No more work is taken now")
    WAITED_TOO_LONG = (504, "The task has not finished yet")

    @property
    def status(self) -> int:
        """The HTTP status code."""
        return self.value[0]

    @property
    def title(self) -> str:
        """A short text for people."""
        return self.value[1]


@frozen
class Problem:
    """What is wrong with one field: what came, and what is allowed."""

    name: str
    got: str
    allowed: str


@frozen
class Refusal(Exception):
    """A request that does not become a task."""

    kind: Kind
    detail: str
    problems: tuple[Problem, ...] = ()
    headers: tuple[tuple[str, str], ...] = field(default=())

    def document(self) -> bytes:
        """Give the problem document, JSON in UTF-8."""
        document: dict[str, object] = {
            "type": "about:blank",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
        }
        if self.problems:
            document["errors"] = [
                {"field": each.name, "got": each.got, "allowed": each.allowed}
                for each in self.problems
            ]
        return json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"

    def text(self) -> bytes:
        """Give the same as plain text that is never JSON."""
        lines = [f"runyard: {self.kind.status} {self.kind.title}: {self.detail}"]
        lines += [f"  {p.name}: got {p.got}; allowed: {p.allowed}" for p in self.problems]
        return "\n".join(lines).encode("utf-8", "backslashreplace") + b"\n"


def malformed(name: str, got: object, allowed: str) -> Refusal:
    """Refuse one field."""
    name = name[:80]
    problem = Problem(name, shown(got), allowed)
    return Refusal(Kind.MALFORMED, f"{name}: {allowed}; got {problem.got}", (problem,))


def shown(value: object, most: int = 80) -> str:
    """Give a value as text that is short and safe to show, in a time that is bounded too."""
    if isinstance(value, str | bytes):
        text, size = ascii(value[: most + 1]), len(value)
    else:
        text = reprlib.repr(value).encode("ascii", "backslashreplace").decode()
        size = len(text)
    return text if len(text) <= most else f"{text[:most]}... ({size} characters)"
