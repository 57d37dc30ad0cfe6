"""The API of docs/api.md as an OpenAPI document, made from the project's own request models.

The models say the fields and their types; what pydantic's validators add (ranges, no NUL, one way
to give the code) is filled in here from the contract, so that what the document allows is exactly
what the server has to take. Code is always one of a few harmless programs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote_plus

from runyard.protocols.limits import RANGES
from runyard.protocols.tasks import Outcome
from runyard.sched.models import ExecuteOptions, ExecuteRequest

Schema = dict[str, Any]

PROGRAMS = (
    "print('a;b & c + 100%')",
    "raise ValueError('no')",
    "import sys; sys.exit(3)",
    "import sys; sys.stdout.write(sys.stdin.read())",
    "import sys; print(sys.argv[1:], file=sys.stderr)",
    "print('\u00e4\u20ac\U0001f600')",
)
FORMATS = ("json", "json_lines", "text")
SCHEMAS: tuple[Schema, ...] = ({}, {"type": "string"}, {"type": "object", "required": ["a"]})
TWICE = tuple(quote_plus(program) for program in PROGRAMS)
LONGEST_POLL_S = 300
NO_NUL = "^[^\\x00]*$"
ENV_NAME = "^[A-Za-z_][A-Za-z0-9_]{0,255}$"
SWITCHES = (
    "0", "1", "true", "false", "True", "FALSE", "yes", "no", "on", "off", "t", "f", "y", "n",
)  # fmt: skip
RAW = ("text/x-python", "text/plain")
TASK_KEYS = [
    "id",
    "state",
    "outcome",
    "reason",
    "detail",
    "language",
    "exit_code",
    "signal",
    "stdout",
    "stderr",
    "stdout_truncated",
    "stderr_truncated",
    "limit",
    "files",
    "files_left_out",
    "usage",
    "isolation",
    "attempts",
    "queue",
    "name",
    "labels",
    "priority",
    "created_at",
    "started_at",
    "finished_at",
]
STATES = ("pending", "running", "finish")
OUTCOMES = (None, *(str(outcome) for outcome in Outcome))
EVERYWHERE = {
    "Cache-Control": {"required": True, "schema": {"const": "no-store"}},
    "X-Content-Type-Options": {"required": True, "schema": {"const": "nosniff"}},
}
PROBLEM = "application/problem+json"
TEXT = "text/plain; charset=utf-8"


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def document(task_ids: Iterable[str], *, raw: bool) -> Schema:
    """Give the document; with `raw`, POST /execute takes the code itself and options as query.

    The two kinds of POST cannot stand in one document: only the raw one has a query.
    """
    paths: Schema = {"/execute": {"post": _post_raw() if raw else _post(), "get": _get()}}
    if not raw:
        paths |= _others(list(task_ids))
    return {
        "openapi": "3.1.0",
        "info": {"title": "runyard", "version": "1"},
        "paths": paths,
        "components": {"schemas": _schemas()},
    }


def _schemas() -> dict[str, Schema]:
    request = ExecuteRequest.model_json_schema(ref_template=ref("{model}")["$ref"])
    limits = request.pop("$defs")["LimitsModel"]
    for name, each in limits["properties"].items():
        each["anyOf"][0] |= {"minimum": RANGES[name].minimum, "maximum": RANGES[name].maximum}
    fields = request["properties"]
    _narrow(fields)
    asked = [*FORMATS, *({"schema": schema} for schema in SCHEMAS), None]
    fields["format"] = {"enum": asked}
    fields["code"] = {"enum": list(PROGRAMS)}
    fields["args"]["items"]["pattern"] = NO_NUL
    fields["files"] = {"type": "array", "maxItems": 1, "items": _file()}
    for name, pattern in (("env", ENV_NAME), ("labels", NO_NUL)):
        fields[name]["additionalProperties"]["pattern"] = NO_NUL
        fields[name].setdefault("propertyNames", {})["pattern"] = pattern
    form = _options()
    form["properties"]["code"] = {"type": "string", "enum": list(PROGRAMS)}
    form["required"] = ["code"]
    return {
        "ExecuteRequest": request,
        "LimitsModel": limits,
        "ExecuteForm": form,
        "Task": _task(),
        "Problem": _problem(),
    }


def _file() -> Schema:
    return {
        "type": "object",
        "required": ["name", "content"],
        "additionalProperties": False,
        "properties": {
            "name": {"enum": ["a.txt", "data/b c.bin"]},
            "content": {"type": "string", "maxLength": 100, "pattern": "^[A-Za-z0-9]*$"},
            "encoding": {"enum": ["utf8"]},
        },
    }


def _narrow(fields: dict[str, Schema]) -> None:
    wall = RANGES["wall_s"]
    fields["timeout"]["anyOf"][0] |= {"minimum": wall.minimum, "maximum": wall.maximum}
    fields["language"] = {"type": "string", "enum": ["python"]}
    fields["name"]["anyOf"][0]["pattern"] = NO_NUL
    fields["format"] = {"type": "string", "enum": list(FORMATS)}


def _options() -> Schema:
    """Give the options as they stand in a query or a form, where nothing can be null."""
    options = ExecuteOptions.model_json_schema()
    _narrow(options["properties"])
    for name in ("wait", "fresh", "network"):
        options["properties"][name] = {"anyOf": [{"type": "boolean"}, {"enum": [0, 1, *SWITCHES]}]}
    for name in ("timeout", "name"):
        options["properties"][name] = options["properties"][name]["anyOf"][0]
    for each in options["properties"].values():
        each.pop("default", None)
    return options


def _task() -> Schema:
    return {
        "type": "object",
        "required": list(TASK_KEYS),
        "properties": {
            "id": {"type": "string", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"},
            "state": {"enum": list(STATES)},
            "outcome": {"enum": list(OUTCOMES)},
            "detail": {"type": "string"},
            "stdout": {"type": "string"},
            "stderr": {"type": "string"},
            "attempts": {"type": "array"},
            "labels": {"type": "object"},
        },
    }


def _problem() -> Schema:
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "title": {"type": "string"},
            "detail": {"type": "string"},
            "errors": {
                "type": "array",
                "items": {"type": "object", "required": ["field", "got", "allowed"]},
            },
        },
    }


def _query(properties: dict[str, Schema], required: Iterable[str] = ()) -> list[Schema]:
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in properties.items()
    ]


def _headers() -> list[Schema]:
    """Give the headers that matter; any other value of theirs is allowed and means nothing."""
    values = {
        "Prefer": ["respond-async", "wait=10, Respond-Async", "caf\u00e9"],
        "Accept": ["application/json", "text/html, application/json;q=0.5", "\u00e9/*"],
    }
    return [
        {
            "name": name,
            "in": "header",
            "schema": {"anyOf": [{"enum": known}, {"type": "string"}]},
        }
        for name, known in values.items()
    ]


def _answers(known: dict[int, dict[str, Schema]]) -> Schema:
    headers: dict[int, Schema] = {
        202: {"Location": {"required": True, "schema": {"pattern": "^/tasks/"}}},
        405: {"Allow": {"required": True, "schema": {"type": "string"}}},
        503: {"Retry-After": {"required": True, "schema": {"pattern": "^[0-9]+$"}}},
    }
    return {
        str(status): {
            "description": "as in docs/api.md",
            "headers": EVERYWHERE | headers.get(status, {}),
            "content": {kind: {"schema": schema} for kind, schema in content.items()},
        }
        for status, content in known.items()
    }


def _refusals(*statuses: int, text: bool = False) -> dict[int, dict[str, Schema]]:
    content = {PROBLEM: ref("Problem")} | ({TEXT: {"type": "string"}} if text else {})
    return dict.fromkeys((400, 405, *statuses), content)


def _get() -> Schema:
    options = _options()["properties"]
    options["code"] = {"type": "string", "enum": [*PROGRAMS, *TWICE]}
    options["encoding"] = {"type": "string", "enum": ["auto", "once", "twice"]}
    both = {TEXT: {"type": "string"}, "application/json": ref("Task")}
    known = {200: both, 422: {TEXT: {"type": "string"}}, 202: {"application/json": ref("Task")}}
    return {
        "parameters": [*_query(options, ["code"]), *_headers()],
        "responses": _answers(known | _refusals(413, 414, 503, text=True)),
    }


def _post() -> Schema:
    form = {"schema": ref("ExecuteForm")}
    kinds = {
        "application/json": {"schema": ref("ExecuteRequest")},
        "application/x-www-form-urlencoded": form,
        "multipart/form-data": form,
    }
    return _posted(kinds, _headers())


def _post_raw() -> Schema:
    code = {"type": "string", "enum": list(PROGRAMS)}
    kinds = {kind: {"schema": code} for kind in RAW}
    return _posted(kinds, [*_query(_options()["properties"]), *_headers()])


def _posted(kinds: Schema, parameters: list[Schema]) -> Schema:
    known = {status: {"application/json": ref("Task")} for status in (200, 202)}
    return {
        "parameters": parameters,
        "requestBody": {"required": True, "content": kinds},
        "responses": _answers(known | _refusals(413, 415, 503)),
    }


def _others(task_ids: list[str]) -> Schema:
    uuid = {"type": "string", "pattern": "^0[0-9a-f]{7}-[0-9a-f]{4}-7[0-9a-f]{3}-8[0-9a-f]{3}-"}
    which = {"type": "string", "anyOf": [{"enum": task_ids}, uuid]}
    where = [{"name": "id", "in": "path", "required": True, "schema": which}]
    wait = _query({"wait": {"type": "number", "minimum": 0, "maximum": LONGEST_POLL_S}})
    bytes_of = {200: {"application/octet-stream": Schema()}}
    task = {200: {"application/json": ref("Task")}}
    json = {200: {"application/json": {"type": "object"}}}
    paths: Schema = {
        f"/tasks/{{id}}/{stream}": {
            "get": {"parameters": where, "responses": _answers(bytes_of | _refusals(404))}
        }
        for stream in ("stdout", "stderr")
    }
    paths["/tasks/{id}"] = {
        "get": {"parameters": [*where, *wait], "responses": _answers(task | _refusals(404))},
        "delete": {
            "parameters": where,
            "responses": _answers(task | {202: task[200]} | _refusals(404)),
        },
    }
    for path in ("/workers", "/healthz", "/readyz"):
        paths[path] = {"get": {"responses": _answers(json | _refusals())}}
    return paths
