"""The task document, and the plain text of `GET /execute`: pure."""

from __future__ import annotations

import base64
import codecs
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from runyard.protocols.files import NONE, Files
from runyard.protocols.inspected import without_locals
from runyard.protocols.tasks import OURS, Ended, Outcome, Reason
from runyard.sched.tickets import Ticket

TAIL_BYTES = 4096
SLICE = 64 * 1024


def task_document(ticket: Ticket, position: int | None, *, debug: bool) -> dict[str, Any]:
    """Give the document of a task; with `debug` also the time of each hop."""
    task, ended = ticket.task, ticket.ended
    document: dict[str, Any] = {
        "id": task.id,
        "state": ticket.state.value,
        "outcome": ended.outcome.value if ended else None,
        "reason": ended.reason.value if ended and ended.reason else None,
        "detail": ended.detail if ended else "",
        "language": task.language,
        "exit_code": ended.exit_code if ended else None,
        "signal": ended.signal if ended else None,
        **_stream("stdout", ended.stdout if ended else b""),
        **_stream("stderr", ended.stderr if ended else b""),
        "stdout_truncated": bool(ended and ended.stdout_truncated),
        "stderr_truncated": bool(ended and ended.stderr_truncated),
        "error": _error(ended, debug=debug),
        "limit": _limit(ended),
        "format": _format(ended),
        "files": [{"name": each.name, "size": each.size} for each in _files(ended).files],
        "files_left_out": list(_files(ended).left_out),
        "usage": _usage(ended),
        "isolation": ended.isolation if ended else None,
        "attempts": [
            {
                "number": each.number,
                "worker": each.worker,
                "started_at": timestamp(each.started_at),
                "ended_at": timestamp(each.ended_at),
                "failure": each.failure.value if each.failure else None,
                "reason": each.reason,
            }
            for each in ticket.attempts
        ],
        "queue": {"position": position} if position is not None else None,
        "name": task.name,
        "labels": dict(task.labels),
        "priority": task.priority,
        "created_at": timestamp(ticket.created_at),
        "started_at": timestamp(ticket.started_at),
        "finished_at": timestamp(ticket.finished_at),
    }
    if debug:
        document["timings"] = hop_times(ticket)
    return document


def _stream(name: str, data: bytes) -> dict[str, str]:
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        encoded = base64.b64encode(data).decode()
        return {name: _replaced(data), f"{name}_base64": encoded}


def _replaced(data: bytes) -> str:
    """Decode with what is not UTF-8 replaced, in slices, so that other threads have their turn."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pieces = [decoder.decode(data[at : at + SLICE]) for at in range(0, len(data), SLICE)]
    return "".join(pieces) + decoder.decode(b"", final=True)


def _error(ended: Ended | None, *, debug: bool) -> dict[str, Any] | None:
    if ended is None or ended.error is None:
        return None
    return ended.error if debug else without_locals(ended.error)


def _format(ended: Ended | None) -> dict[str, Any] | None:
    if ended is None or ended.format is None:
        return None
    checked = ended.format
    return {
        "name": checked.name,
        "ok": checked.ok,
        "problems": [{"path": path, "message": message} for path, message in checked.problems],
        "more": checked.more,
        "failed": checked.failed,
    }


def _files(ended: Ended | None) -> Files:
    return ended.files if ended is not None else NONE


def _limit(ended: Ended | None) -> dict[str, Any] | None:
    if ended is None or ended.limit is None:
        return None
    hit = ended.limit
    return {"name": hit.name, "allowed": hit.allowed, "measured": hit.measured}


def _usage(ended: Ended | None) -> dict[str, Any] | None:
    if ended is None or ended.usage is None:
        return None
    usage = ended.usage
    return {
        "wall_s": round(usage.wall_s, 6),
        "cpu_s": round(usage.cpu_s, 6),
        "max_rss_bytes": usage.max_rss_bytes,
    }


def timestamp(seconds: float | None) -> str | None:
    """Give Unix seconds as RFC 3339 in UTC, to the millisecond."""
    if seconds is None:
        return None
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


HOPS = ("received", "queued", "dispatched", "started", "ended")


def hop_times(ticket: Ticket) -> dict[str, float]:
    """Give the milliseconds between each hop and the one before, and their sum."""
    marks = [(name, ticket.marks[name]) for name in HOPS if name in ticket.marks]
    steps = pairwise(marks)
    times = {f"{name}_ms": round((at - before) * 1000, 3) for (_, before), (name, at) in steps}
    if marks:
        times["total_ms"] = round((marks[-1][1] - marks[0][1]) * 1000, 3)
    return times


def document_status(ended: Ended | None) -> int:
    """Give the HTTP status that goes with a task document."""
    if ended is None:
        return 200
    if ended.reason is Reason.RESTART:
        return 503
    return 502 if ended.outcome in OURS else 200


def text_status(ended: Ended) -> int:
    """Give the HTTP status of the plain answer."""
    if ended.outcome is Outcome.SUCCESS:
        return 200
    status = document_status(ended)
    return 422 if status == 200 else status


def plain_text(ended: Ended) -> bytes:
    """Give the plain answer: stdout as it was written, or a text that no JSON parser accepts."""
    if ended.outcome is Outcome.SUCCESS:
        return ended.stdout
    what = "/".join(str(part) for part in (ended.outcome, ended.reason) if part)
    head = f"runyard: {what}: {ended.detail}\n".encode()
    tail = ended.stderr[-TAIL_BYTES:]
    if len(tail) < len(ended.stderr):
        cut, _, whole = tail.partition(b"\n")
        tail = b"[...]\n" + (whole or cut)
    return head + tail
