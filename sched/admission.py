"""From a request's bytes to a task, or a refusal that says why: pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from attrs import frozen
from pydantic import ValidationError
from runyard.protocols.ids import new_task_id
from runyard.protocols.limits import ARGS_ENV_BYTES, CODE_BYTES, STDIN_BYTES, limits_from
from runyard.protocols.tasks import Task
from runyard.sched.decoding import Encoding, decode_code, parse_pairs, text_of
from runyard.sched.errors import Kind, Problem, Refusal, malformed, shown
from runyard.sched.models import NOT_YET, ExecuteOptions, ExecuteRequest

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
RAW = ("text/x-python", "text/plain")
ENCODINGS: tuple[Encoding, ...] = ("auto", "once", "twice")


@frozen
class Admitted:
    """A task to run; `wait` says whether its caller stays for the result."""

    task: Task
    wait: bool


def admit_query(query: bytes, runtimes: frozenset[str]) -> Admitted:
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
    return _admit(code, _options(fields), {}, runtimes)


def admit_body(
    body: bytes, content_type: str | None, query: bytes, runtimes: frozenset[str]
) -> Admitted:
    """Read ``POST /execute``: JSON, a form, or the code itself with options as query.

    Raises:
        Refusal: why it is no task.
    """
    media = (content_type or "").partition(";")[0].strip().lower()
    if media == JSON:
        _no_query(query, "JSON")
        return _admit_json(body, runtimes)
    if media == FORM:
        _no_query(query, "form")
        fields = parse_pairs(body, "form")
        if "code" not in fields:
            raise malformed("code", "nothing", "the program, as a field of the form")
        return _admit(fields.pop("code"), _options(fields), {}, runtimes)
    if media in RAW:
        return _admit(body, _options(parse_pairs(query, "query")), {}, runtimes)
    kinds = ", ".join([JSON, FORM, *RAW])
    came = shown(content_type) if content_type else "(none)"
    raise Refusal(Kind.MEDIA_TYPE, f"the content type {came} is not one of {kinds}")


def _no_query(query: bytes, kind: str) -> None:
    if query:
        raise malformed("query", query, f"no query with a {kind} body: its fields hold the options")


def _admit_json(body: bytes, runtimes: frozenset[str]) -> Admitted:
    document = parse_json(body)
    if not isinstance(document, dict):
        raise malformed("body", type(document).__name__, "a JSON object")
    _refuse_not_yet(document)
    try:
        request = ExecuteRequest.model_validate(document, strict=True)
    except ValidationError as error:
        _refuse_fields(error)
    more = {
        "stdin": request.stdin.encode(),
        "args": tuple(request.args),
        "env": tuple(request.env.items()),
        "labels": tuple(request.labels.items()),
        "limits": request.limits.model_dump(exclude_none=True),
    }
    return _admit(request.code.encode(), request, more, runtimes)


def _options(fields: dict[str, bytes]) -> ExecuteOptions:
    values = {name: text_of(value, name) for name, value in fields.items()}
    _refuse_not_yet(values)
    try:
        return ExecuteOptions.model_validate_strings(values)
    except ValidationError as error:
        _refuse_fields(error)


def _admit(
    code: bytes, options: ExecuteOptions, more: dict[str, Any], runtimes: frozenset[str]
) -> Admitted:
    limits = dict(more.pop("limits", {}))
    if options.timeout is not None:
        if limits.get("wall_s", options.timeout) != options.timeout:
            raise malformed("timeout", options.timeout, "the same as limits.wall_s, or one of them")
        limits["wall_s"] = options.timeout
    task = Task(
        id=new_task_id(),
        code=code,
        language=options.language,
        limits=limits_from(limits),
        attempts=options.attempts,
        priority=options.priority,
        name=options.name,
        keep_on_disconnect=options.on_disconnect == "continue" or not options.wait,
        **more,
    )
    _check_sizes(task)
    if task.language not in runtimes:
        raise malformed("language", task.language, f"one of {', '.join(sorted(runtimes))}")
    return Admitted(task, options.wait)


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


def _refuse_fields(error: ValidationError) -> NoReturn:
    problems = tuple(
        Problem(
            ".".join(str(part) for part in each["loc"][:4]) or "body",
            shown(each["input"]),
            "a field of this request" if each["type"] == "extra_forbidden" else each["msg"],
        )
        for each in error.errors(include_url=False, include_context=False)[:8]
    )
    unknown = [p.name for p in problems if p.allowed == "a field of this request"]
    first = problems[0]
    text = f"unknown field {unknown[0]}" if unknown else f"{first.name}: {first.allowed}"
    raise Refusal(Kind.MALFORMED, text, problems)


def parse_json(body: bytes) -> Any:
    """Parse strict JSON: no NaN, no name twice, UTF-8.

    Raises:
        Refusal: with the line and the column of the fault.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise malformed(shown(twice), "the name twice in one object", "each name once")
        return found

    def constant(name: str) -> NoReturn:
        raise malformed("body", name, "finite numbers: JSON has no NaN and no Infinity")

    text = text_of(body, "body")
    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=constant)
    except json.JSONDecodeError as error:
        got = shown(text[error.pos : error.pos + 20]) if error.pos < len(text) else "the end"
        where = f"line {error.lineno}, column {error.colno}"
        raise malformed("body", f"{got} at {where}", f"JSON ({error.msg} at {where})") from None
    except (RecursionError, ValueError):
        raise malformed("body", "deep nesting or a huge number", "a plain JSON object") from None
