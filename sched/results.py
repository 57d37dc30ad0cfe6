"""What a finished task has given, as bytes: its streams and its files. Pure."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes

from runyard.sched.answers import Answer
from runyard.sched.errors import Kind, Refusal, shown
from runyard.sched.tickets import Ticket

BYTES = "application/octet-stream"
FILES = "files"


def result_answer(ticket: Ticket, what: str, rest: bytes) -> Answer:
    """Answer with a stream, or with the file whose name `rest` is, percent-encoded.

    Raises:
        Refusal: there is none.
    """
    if ticket.ended is None:
        raise Refusal(Kind.NOT_FOUND, f"{what}: the task has not finished yet")
    if what != FILES:
        body: bytes = getattr(ticket.ended, what)
        return Answer(200, body, BYTES)
    name = _name(rest)
    for each in ticket.ended.files.files:
        if each.name == name:
            return Answer(200, each.content, BYTES, (("Content-Disposition", attachment(name)),))
    raise Refusal(Kind.NOT_FOUND, f"the task has left no file {shown(name)}")


def attachment(name: str) -> str:
    """Say that a file is to be saved, by the last part of its name (RFC 6266, RFC 8187)."""
    last = name.rpartition("/")[2]
    return f"attachment; filename*=UTF-8''{quote(last, safe='')}"


def _name(rest: bytes) -> str:
    """Read a name as it stands in a path; it is compared with names, and with nothing else."""
    try:
        return unquote_to_bytes(rest).decode()
    except UnicodeDecodeError:
        raise Refusal(Kind.NOT_FOUND, "names of files are UTF-8") from None
