"""Runs schemathesis over a document, with code kept harmless and every answer checked."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlsplit
from zlib import crc32

import schemathesis
from attrs import define, field
from openapi import PROGRAMS, RAW, TWICE
from schemathesis import CheckContext, HookContext
from schemathesis.core import NotSet
from schemathesis.core.transport import Response
from schemathesis.engine import events, from_schema

from runyard.sched.models import ExecuteOptions, ExecuteRequest

LONGEST_S = 2.0
CHECKS = (
    "the_contract",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "positive_data_acceptance",
    "negative_data_rejection",
    "unsupported_method",
)
PHASES = ("examples", "coverage", "fuzzing", "stateful")
OPTIONS = frozenset(ExecuteOptions.model_fields)
KNOWN = {"json": frozenset(ExecuteRequest.model_fields), "form": OPTIONS | {"code"}}
PART_NAME = re.compile(rb'(?i)content-disposition: form-data; name="([^"]*)"')

Case = schemathesis.Case[Any]


@define
class Tally:
    """What was sent and what came of it; `failures` are told with the request that made them."""

    statuses: Counter[str] = field(factory=Counter)
    failures: dict[str, str] = field(factory=dict)

    @property
    def requests(self) -> int:
        return self.statuses.total()


def run(
    document: dict[str, Any],
    url: str,
    seed: int,
    *,
    seconds: int | None = None,
    examples: int = 100,
    phases: tuple[str, ...] = PHASES,
) -> Tally:
    """Send what a document allows and what it forbids: for some time, or some examples each."""
    config = schemathesis.Config(seed=seed, max_time=seconds)
    schema = schemathesis.openapi.from_dict(document, config=config)
    schema.config.update(base_url=url, request_timeout=60)
    schema.config.phases.update(phases=list(phases))
    schema.config.generation.update(max_examples=examples, database="none")
    schema.config.checks.update(included_check_names=list(CHECKS))
    schema.config.checks.positive_data_acceptance.expected_statuses = ["2xx", "404", "422"]
    tally = Tally()
    for event in from_schema(schema).execute():
        _count(event, tally)
    return tally


def _count(event: events.EngineEvent, tally: Tally) -> None:
    if isinstance(event, (events.NonFatalError, events.FatalError)):
        tally.failures.setdefault(type(event).__name__, repr(event))
    if not isinstance(event, events.ScenarioFinished):
        return
    for sent in event.recorder.interactions.values():
        status = sent.response.status_code if sent.response is not None else "none"
        tally.statuses[f"{event.recorder.label} {status}"] += 1
    for node in (node for nodes in event.recorder.checks.values() for node in nodes):
        if node.failure_info is not None:
            failure = node.failure_info.failure
            what = f"{event.recorder.label}: {node.name}: {failure.title}"
            tally.failures.setdefault(what, f"{failure.message}\n{node.failure_info.code_sample}")


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Keep what is sent harmless, and what belongs together together."""
    for fields in (case.query, case.body):
        if isinstance(fields, dict):
            _tame(fields, is_json=fields is case.body and case.media_type == "application/json")
    if case.media_type in RAW and not isinstance(case.body, NotSet):
        case.body = harmless(case.body if isinstance(case.body, str) else repr(case.body))
    if case.query.get("encoding") == "twice" and case.query.get("code") in PROGRAMS:
        case.query["code"] = quote_plus(case.query["code"])


def _tame(fields: dict[str, Any], *, is_json: bool) -> None:
    if "code" in fields and (isinstance(fields["code"], str) or not is_json):
        fields["code"] = harmless(fields["code"])
    limits = fields.get("limits")
    for holder, name in ((fields, "timeout"), (limits, "wall_s")):
        if isinstance(holder, dict) and name in holder:
            holder[name] = _short(holder[name])
    if not isinstance(limits, dict):
        return
    if _is_number(limits.get("wall_s")) and _is_number(fields.get("timeout")):
        limits["wall_s"] = fields["timeout"]  # one is short for the other


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _short(value: Any) -> Any:
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return value
    return LONGEST_S if LONGEST_S < seconds <= 300 else value


def harmless(code: Any) -> Any:
    """Give one of our programs for any other code, unless it is none that could run."""
    if isinstance(code, list):
        return [harmless(each) for each in code]
    if code is None or code in PROGRAMS or code in TWICE:
        return code
    if isinstance(code, str) and (not code.strip() or "\0" in code):
        return code
    return PROGRAMS[crc32(repr(code).encode()) % len(PROGRAMS)]


@schemathesis.check
def the_contract(ctx: CheckContext, response: Response, case: Case) -> None:
    """What holds for each answer, and what a document cannot say."""
    status, headers = response.status_code, {n: v[0] for n, v in response.headers.items()}
    assert headers.get("cache-control") == "no-store"
    assert headers.get("x-content-type-options") == "nosniff"
    if status >= 500:
        assert status == 503, "no worker dies and nobody waits long here"
        assert "retry-after" in headers or case.path == "/readyz"
    if status >= 400:
        _is_refusal(response, case, headers.get("content-type"))
    if case.path == "/execute" and 200 <= status < 300:
        unknown = _unknown_fields(response, case)
        assert not unknown, f"accepted with unknown fields {unknown}"


def _is_refusal(response: Response, case: Case, kind: str | None) -> None:
    if response.request.method == "HEAD" or case.path == "/readyz":
        return
    accept = response.request.headers.get("Accept") or ""
    if isinstance(accept, bytes):
        accept = accept.decode("latin-1")
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    if case.path == "/execute" and case.method == "GET" and "application/json" not in kinds:
        assert kind == "text/plain; charset=utf-8"
        assert response.text.startswith("runyard: ")
        assert not _is_json(response.content)
        return
    assert kind == "application/problem+json"
    problem = json.loads(response.content)
    assert problem["status"] == response.status_code


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def _unknown_fields(response: Response, case: Case) -> set[str]:
    query = urlsplit(response.request.url or "").query
    names = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    if case.method == "GET":
        return names - KNOWN["form"] - {"encoding"}
    body = response.request.body or b""
    data = body.encode() if isinstance(body, str) else bytes(body)
    if case.media_type == "application/json":
        return set(json.loads(data)) - KNOWN["json"]
    if case.media_type == "application/x-www-form-urlencoded":
        fields = {name for name, _ in parse_qsl(data.decode(), keep_blank_values=True)}
        return names | fields - KNOWN["form"]
    if case.media_type == "multipart/form-data":
        return names | {name.decode() for name in PART_NAME.findall(data)} - KNOWN["form"]
    return names - OPTIONS
