"""From a request's bytes to a task, or a refusal that says why: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from attrs import field, frozen
from pydantic import ValidationError

from runyard.protocols.formats import BUILTIN, Format, FormatRefused, format_of
from runyard.protocols.ids import new_task_id
from runyard.protocols.limits import ARGS_ENV_BYTES, CODE_BYTES, STDIN_BYTES, Limits
from runyard.protocols.tasks import RetryPolicy, Task
from runyard.sched.bodies import read_body
from runyard.sched.decoding import Encoding, decode_code, parse_pairs, text_of
from runyard.sched.errors import Kind, Problem, Refusal, malformed, shown
from runyard.sched.given import check_room, read_files
from runyard.sched.limits import LimitPolicy, LimitRefused
from runyard.sched.models import NOT_YET, ExecuteOptions, ExecuteRequest

ENCODINGS: tuple[Encoding, ...] = ("auto", "once", "twice")


@frozen
class Policy:
    """What this server takes now.

    Attributes:
        runtimes: Its workers'.
        formats: Its workers'.
        limits: Its operator's.
        network: Whether a worker has a way to the network for tasks.
        network_default: Whether a task that does not say gets it.
    """

    runtimes: frozenset[str]
    formats: tuple[str, ...] = BUILTIN
    limits: LimitPolicy = field(factory=LimitPolicy)
    network: bool = True
    network_default: bool = False


@frozen
class Admitted:
    """A task to run; `wait` says whether its caller stays for the result."""

    task: Task
    wait: bool


def admit_query(query: bytes, policy: Policy) -> Admitted:
    """Read ``GET /execute?code=...``.

    Raises:
        Refusal: why it is no task.
    """
    fields = parse_pairs(query, "query")
    encoding = fields.pop("encoding", b"auto")
    if encoding.decode("ascii", "replace") not in ENCODINGS:
        raise malformed("encoding", encoding, "once or twice")
    if "code" not in fields:
        raise malformed("code", "nothing", "the program, as ?code=...")
    code = decode_code(fields.pop("code"), encoding.decode())  # type: ignore[arg-type]
    return _admit(code, _options(fields), {}, policy)


def admit_body(body: bytes, content_type: str | None, query: bytes, policy: Policy) -> Admitted:
    """Read ``POST /execute``: JSON, a form, or the code itself with options as query.

    Raises:
        Refusal: why it is no task.
    """
    read = read_body(body, content_type, query)
    if read.document is not None:
        return _admit_document(read.document, policy)
    return _admit(read.code or b"", _options(read.fields or {}), {}, policy)


def _admit_document(document: dict[str, Any], policy: Policy) -> Admitted:
    _refuse_not_yet(document)
    try:
        request = ExecuteRequest.model_validate(document, strict=True)
    except ValidationError as error:
        _refuse_fields(error)
    more = {
        "stdin": request.stdin.encode(),
        "args": tuple(request.args),
        "env": tuple(request.env.items()),
        "files": read_files(request.files),
        "labels": tuple(request.labels.items()),
        "limits": request.limits.model_dump(exclude_none=True),
        "retry": _retry(request),
    }
    return _admit(request.code.encode(), request, more, policy)


def _format(value: Any, policy: Policy) -> Format | None:
    if value is None:
        return None
    try:
        return format_of(value, policy.formats)
    except FormatRefused as error:
        raise malformed(error.field, error.got, error.allowed) from None


def _network(asked: bool | None, policy: Policy) -> bool:
    wanted = policy.network_default if asked is None else asked
    if wanted and not policy.network:
        raise malformed("network", True, "false: no worker here has a way out for tasks")
    return wanted


def _retry(request: ExecuteRequest) -> RetryPolicy | None:
    asked = request.retry
    return None if asked is None else RetryPolicy(asked.max, frozenset(asked.on), asked.backoff)


def _options(fields: dict[str, bytes]) -> ExecuteOptions:
    values = {name: text_of(value, name) for name, value in fields.items()}
    _refuse_not_yet(values)
    try:
        return ExecuteOptions.model_validate_strings(values)
    except ValidationError as error:
        _refuse_fields(error)


def _admit(code: bytes, options: ExecuteOptions, more: dict[str, Any], policy: Policy) -> Admitted:
    limits = dict(more.pop("limits", {}))
    if options.timeout is not None:
        if limits.get("wall_s", options.timeout) != options.timeout:
            raise malformed("timeout", options.timeout, "the same as limits.wall_s, or one of them")
        limits["wall_s"] = options.timeout
    task = Task(
        id=new_task_id(),
        code=code,
        language=options.language,
        limits=_limits(limits, policy),
        attempts=options.attempts,
        priority=options.priority,
        name=options.name,
        format=_format(options.format, policy),
        fresh=options.fresh,
        network=_network(options.network, policy),
        keep_on_disconnect=options.on_disconnect == "continue" or not options.wait,
        **more,
    )
    _check_sizes(task)
    check_room(task.files, task.limits.disk_bytes)
    if task.language not in policy.runtimes:
        raise malformed("language", task.language, f"one of {', '.join(sorted(policy.runtimes))}")
    return Admitted(task, options.wait)


def _limits(values: dict[str, Any], policy: Policy) -> Limits:
    try:
        return policy.limits.apply(values)
    except LimitRefused as error:
        name = "timeout" if error.name == "wall_s" else f"limits.{error.name}"
        raise malformed(name, values[error.name], error.allowed) from None


def _check_sizes(task: Task) -> None:
    if not task.code.strip():
        raise malformed("code", "nothing but white space" if task.code else "nothing", "a program")
    if b"\0" in task.code:
        at = task.code.index(b"\0")
        raise malformed("code", f"a NUL byte at {at}", "source without NUL (null) bytes")
    together = sum(len(a.encode()) + 1 for a in task.args)
    together += sum(len(n) + len(v.encode()) + 2 for n, v in task.env)
    for name, size, most in (
        ("code", len(task.code), CODE_BYTES),
        ("stdin", len(task.stdin), STDIN_BYTES),
        ("args and env together", together, ARGS_ENV_BYTES),
    ):
        if size > most:
            raise Refusal(Kind.TOO_LARGE, f"{name}: {size} bytes, at most {most} are allowed")


def _refuse_not_yet(values: Mapping[str, object]) -> None:
    for name in values:
        if name in NOT_YET:
            raise malformed(name, shown(values[name]), "not supported yet")


def _allowed(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "a field of this request"
    return message.removeprefix("Value error, ")


def _refuse_fields(error: ValidationError) -> NoReturn:
    problems = tuple(
        Problem(
            ".".join(str(part)[:80] for part in each["loc"][:4]) or "body",
            shown(each["input"]),
            "a field of this request"
            if each["type"] == "extra_forbidden"
            else each["msg"].removeprefix("Value error, "),
        )
        for each in error.errors(include_url=False, include_context=False)[:8]
    )
    unknown = [p.name for p in problems if p.allowed == "a field of this request"]
    first = problems[0]
    text = f"unknown field {unknown[0]}" if unknown else f"{first.name}: {first.allowed}"
    raise Refusal(Kind.MALFORMED, text, problems)
