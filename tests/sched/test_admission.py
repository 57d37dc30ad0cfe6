from __future__ import annotations

import json
import time
from typing import Any

import pytest

from runyard.protocols.limits import CODE_BYTES, STDIN_BYTES
from runyard.sched.admission import Policy, admit_body, admit_query
from runyard.sched.errors import Kind, Refusal
from runyard.sched.jsontext import parse_json

POLICY = Policy(frozenset({"python", "python:crawler"}))


def post(document: Any) -> Any:
    return admit_body(json.dumps(document).encode(), "application/json", b"", POLICY)


def refusal(document: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        post(document)
    return caught.value


def test_a_json_request_becomes_a_task_with_everything_it_said() -> None:
    admitted = post({
        "code": "print('漫')", "language": "python:crawler", "stdin": "in", "args": ["a", "ü"],
        "env": {"A": "1"}, "limits": {"memory_bytes": 64 << 20}, "timeout": 3, "attempts": 1,
        "priority": -5, "name": "n", "labels": {"k": "v"}, "on_disconnect": "continue",
        "wait": False,
    })  # fmt: skip
    task = admitted.task
    assert task.code.decode() == "print('漫')"
    assert (task.language, task.stdin, task.args) == ("python:crawler", b"in", ("a", "ü"))
    assert task.env == (("A", "1"),)
    assert (task.limits.wall_s, task.limits.memory_bytes) == (3.0, 64 << 20)
    assert (task.attempts, task.priority, task.name) == (1, -5, "n")
    assert task.labels == (("k", "v"),)
    assert task.keep_on_disconnect
    assert not admitted.wait


def test_the_defaults_are_those_of_the_contract() -> None:
    task = post({"code": "1"}).task
    assert (task.limits.wall_s, task.limits.cpu_s, task.limits.output_bytes) == (10, 10, 1 << 20)
    assert (task.attempts, task.priority, task.language) == (3, 0, "python")


@pytest.mark.parametrize(
    ("document", "field", "word"),
    [
        ({}, "code", "required"),
        ({"code": 5}, "code", "string"),
        ({"code": "  \n"}, "code", "a program"),
        ({"code": "1", "timeout": 0}, "timeout", "0.01 to 300"),
        ({"code": "1", "timeout": -1}, "timeout", "0.01 to 300"),
        ({"code": "1", "timeout": 301}, "timeout", "0.01 to 300"),
        ({"code": "1", "timeout": "5"}, "timeout", "number"),
        ({"code": "1", "limits": {"processes": 0}}, "limits.processes", "1 to 256"),
        ({"code": "1", "limits": {"cpu": 1}}, "limits.cpu", "field"),
        ({"code": "1", "labels": {"k": "v" * 257}}, "labels.k", "256"),
        ({"code": "1", "name": "n" * 257}, "name", "256"),
        ({"code": "1", "attempts": 0}, "attempts", "greater"),
        ({"code": "1", "priority": 101}, "priority", "less"),
        ({"code": "1", "language": "Ruby!"}, "language", "pattern"),
        ({"code": "1", "language": "ruby"}, "language", "python, python:crawler"),
        ({"code": "1", "env": {"A=B": "1"}}, "env", "names"),
        ({"code": "1", "env": {"A": "x\0y"}}, "env.A", "NUL"),
        ({"code": "1", "args": ["\ud800"]}, "args.0", "surrogate"),
        ({"code": "'\ud800'"}, "code", "surrogate"),
        ({"code": "a\0b"}, "code", "NUL"),
        ({"code": "1", "wait": 1}, "wait", "boolean"),
        ({"code": "1", "tiemout": 5}, "tiemout", "field"),
        ({"code": "1", "timeout": 5, "limits": {"wall_s": 6}}, "timeout", "same"),
    ],
)
def test_each_fault_is_named_with_what_is_allowed(
    document: dict[str, Any], field: str, word: str
) -> None:
    refused = refusal(document)
    assert refused.kind is Kind.MALFORMED
    assert [(p.name, word in p.allowed) for p in refused.problems] == [(field, True)], refused


@pytest.mark.parametrize("field", ["expires_in", "callback_url"])
def test_what_is_not_built_yet_is_told_apart_from_what_is_unknown(field: str) -> None:
    assert "not supported yet" in str(refusal({"code": "1", field: None}).detail)
    with pytest.raises(Refusal, match="not supported yet"):
        admit_query(b"code=1&" + field.encode() + b"=1", POLICY)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"code": "1",}', "line 1, column 1"),
        (b'{"code": "1"\n "x": 2}', "line 2, column 2"),
        (b"", "line 1, column 1"),
    ],
)
def test_broken_json_is_told_by_line_and_column(body: bytes, where: str) -> None:
    with pytest.raises(Refusal, match=where):
        parse_json(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"code": "1", "code": "2"}',
        b'{"limits": {"a": 1, "a": 2}}',
        b'{"timeout": NaN}',
        b'{"timeout": -Infinity}',
        b"[" * 100_000,
        b'{"timeout": ' + b"1" * 10_000 + b"}",
        b'{"code": "\xff"}',
    ],
    ids=["twice", "twice inside", "nan", "inf", "nesting", "digits", "utf8"],
)
def test_json_that_parsers_disagree_about_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal):
        parse_json(body)


def test_raw_code_takes_its_options_from_the_query_and_stays_as_it_is() -> None:
    admitted = admit_body(b"\xef\xbb\xbfprint('\xe4')", "text/x-python", b"timeout=2", POLICY)
    assert admitted.task.code == b"\xef\xbb\xbfprint('\xe4')"
    assert admitted.task.limits.wall_s == 2


def test_a_form_is_read_whatever_the_case_and_charset_of_its_type() -> None:
    for media in (
        "application/x-www-form-urlencoded",
        "Application/X-WWW-Form-URLEncoded; charset=UTF-8",
    ):
        task = admit_body(b"code=print(%27a;b%27)&timeout=1.5", media, b"", POLICY).task
        assert (task.code, task.limits.wall_s) == (b"print('a;b')", 1.5)


@pytest.mark.parametrize("media", [None, "", "text/html", "multipart/mixed; boundary=x"])
def test_another_content_type_is_named_in_the_refusal(media: str | None) -> None:
    with pytest.raises(Refusal) as caught:
        admit_body(b"print(1)", media, b"", POLICY)
    assert caught.value.kind is Kind.MEDIA_TYPE
    assert "application/json" in caught.value.detail


def test_options_in_two_places_are_refused_not_ignored() -> None:
    with pytest.raises(Refusal, match="no query"):
        admit_body(b'{"code": "1"}', "application/json", b"timeout=1", POLICY)


def test_sizes_are_checked_each_by_its_name() -> None:
    for document in (
        {"code": "#" * (CODE_BYTES + 1)},
        {"code": "1", "stdin": "x" * (STDIN_BYTES + 1)},
        {"code": "1", "args": ["x" * 65_536]},
        {"code": "1", "env": {"A": "x" * 65_536}},
    ):
        assert refusal(document).kind is Kind.TOO_LARGE
    assert len(post({"code": "#" * CODE_BYTES}).task.code) == CODE_BYTES


def test_a_whole_number_is_one_however_json_writes_it() -> None:
    task = post({"code": "1", "attempts": 2.0, "priority": 1e1, "limits": {"processes": 67.0}}).task
    assert (task.attempts, task.priority, task.limits.processes) == (2, 10, 67)
    assert refusal({"code": "1", "attempts": 2.5}).kind is Kind.MALFORMED


def test_a_query_s_text_values_are_read_as_numbers_and_checked_like_them() -> None:
    task = admit_query(b"code=print(1)&timeout=2.5&name=x&priority=3", POLICY).task
    assert (task.limits.wall_s, task.name, task.priority) == (2.5, "x", 3)
    for bad in (
        b"timeout=0",
        b"timeout=nan",
        b"timeout=inf",
        b"timeout=abc",
        b"unknown=1",
        b"encoding=x",
    ):
        with pytest.raises(Refusal):
            admit_query(b"code=1&" + bad, POLICY)


def test_a_refusal_as_text_is_never_json() -> None:
    for refused in (refusal({"code": 5}), refusal([1]), refusal("x")):
        with pytest.raises(ValueError, match="Expecting value"):
            json.loads(refused.text())
        assert json.loads(refused.document())["status"] == 400


def test_labels_are_bounded_in_every_way_and_the_largest_are_taken() -> None:
    largest = {f"{n:>064}": "v" * 256 for n in range(32)}
    assert dict(post({"code": "1", "labels": largest}).task.labels) == largest
    for wrong in ({"k" * 65: "v"}, {str(n): "v" for n in range(33)}, {"é" * 1_000_000: "v"}):
        refused = refusal({"code": "1", "labels": wrong})
        assert refused.kind is Kind.MALFORMED
        assert len(refused.document()) < 1000


@pytest.mark.parametrize("field", ["args", "env", "labels", "name", "stdin", "code"])
def test_a_task_s_size_counts_all_that_its_caller_may_make_long(field: str) -> None:
    values: dict[str, Any] = {
        "args": ["é" * 100] * 10, "env": {f"{'N' * 90}{n}": "é" * 10 for n in range(20)},
        "labels": {f"{n}": "é" * 250 for n in range(10)}, "name": "é" * 256,
        "stdin": "é" * 1000, "code": "1" * 1000,
    }  # fmt: skip
    more = post({"code": "1", field: values[field]}).task.size - post({"code": "1"}).task.size
    assert more >= len(str(values[field]).encode()) * 0.8


def test_many_short_texts_are_not_counted_as_nothing() -> None:
    assert post({"code": "1", "args": [""] * 1024}).task.size > 1024 * 49


HUGE: list[dict[str, Any]] = [
    {"code": "1", "x" * 3_000_000: 1},
    {"code": "1", "files": "x" * 3_000_000},
    {"code": "1", "files": [["x" * 100] * 10] * 1000},
    {"code": "1", "attempts": "x" * 3_000_000},
    {"code": "1", "args": [1] * 19_000},
    {"code": "1", "limits": {"x" * 3_000_000: 1}},
]


@pytest.mark.parametrize("document", HUGE, ids=range(len(HUGE)))
def test_a_refusal_of_something_huge_is_short_and_soon(document: dict[str, Any]) -> None:
    refused = refusal(document)
    assert len(refused.document()) < 3000
    assert len(refused.text()) < 3000
    began = time.process_time()
    refusal(document)
    assert time.process_time() - began < 0.2
