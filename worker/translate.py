"""Between the protocol's messages and the worker's own values: pure."""

from __future__ import annotations

from runyard.protocols.checked import write_checked
from runyard.protocols.errors import ProtocolError
from runyard.protocols.files import pack, unpack
from runyard.protocols.formats import Format
from runyard.protocols.inspected import write_record
from runyard.protocols.limits import limits_from
from runyard.protocols.messages import Result, Run
from runyard.protocols.tasks import Ended
from runyard.protocols.texts import split_texts
from runyard.worker.sandbox.interface import Job

BESIDE_A_CHECK = 20 * 1024
"""Bytes of a record where the check of the output stands in the same header line."""


def job_of(message: Run, lease: float) -> Job:
    """Build the job that a Run asks for, with what is left of its lease.

    Raises:
        ProtocolError: its limits, arguments, variables or files are not of their form.
    """
    try:
        limits = limits_from(message.limits)
    except ValueError as error:
        raise ProtocolError(f"Run: {error}") from None
    env = []
    for text in split_texts(message.env):
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise ProtocolError("Run.env must hold NAME=VALUE")
        env.append((name, value))
    return Job(
        attempt=message.attempt,
        language=message.language,
        code=message.code,
        stdin=message.stdin,
        args=split_texts(message.args),
        env=tuple(env),
        limits=limits,
        lease=lease,
        format=Format(message.format, message.schema or None) if message.format else None,
        files=_files(message.files),
        fresh=message.fresh,
        network=message.network,
    )


def _files(packed: bytes) -> bytes:
    """Check packed files; they stay packed, for whoever puts them into the task's folder."""
    if unpack(packed).left_out:
        raise ProtocolError("Run.files: a file was left out")
    return packed


def result_of(attempt: str, ended: Ended, *, collect: bool) -> Result:
    """Build the Result that tells how an attempt ended, with its files where it asked for them."""
    limit = ended.limit
    usage = ended.usage
    checked = write_checked(ended.format)
    return Result(
        attempt=attempt,
        outcome=ended.outcome.value,
        reason=ended.reason.value if ended.reason is not None else None,
        detail=ended.detail,
        isolation=ended.isolation or "none",
        exit_code=ended.exit_code,
        signal=ended.signal,
        stdout=ended.stdout,
        stderr=ended.stderr,
        stdout_truncated=ended.stdout_truncated,
        stderr_truncated=ended.stderr_truncated,
        limit=[limit.name, limit.allowed, limit.measured] if limit is not None else [],
        wall_s=usage.wall_s if usage is not None else 0.0,
        cpu_s=usage.cpu_s if usage is not None else 0.0,
        max_rss_bytes=usage.max_rss_bytes if usage is not None else 0,
        confirmed=ended.confirmed,
        error=write_record(ended.error, BESIDE_A_CHECK) if checked else write_record(ended.error),
        format=checked,
        files=pack(ended.files.files, ended.files.left_out) if collect else b"",
    )
