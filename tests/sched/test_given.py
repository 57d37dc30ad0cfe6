"""The files of a request: what is taken, and what is said of the rest."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from runyard.protocols.files import File
from runyard.protocols.limits import FILES_BYTES, MIB
from runyard.sched.admission import Policy, admit_body, admit_query
from runyard.sched.errors import Kind, Refusal
from runyard.sched.given import SLICE

POLICY = Policy(frozenset({"python"}))


def admit(files: Any, **more: Any) -> Any:
    body = json.dumps({"code": "1", "files": files} | more).encode()
    return admit_body(body, "application/json", b"", POLICY).task


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_text_and_base64_become_bytes() -> None:
    task = admit([
        {"name": "a", "content": "é\0"},
        {"name": "d/b", "content": encoded(b"\xff\0"), "encoding": "base64"},
    ])  # fmt: skip
    assert task.files == (File("a", "é\0".encode()), File("d/b", b"\xff\0"))
    assert task.size > admit([]).size


@pytest.mark.parametrize("size", [0, 1, SLICE - 1, SLICE, SLICE + 1, SLICE // 4 * 3 * 2, MIB])
def test_base64_of_any_length_is_decoded_whole(size: int) -> None:
    content = (b"0123456789abcde" * (size // 15 + 1))[:size]
    given = [{"name": "a", "content": encoded(content), "encoding": "base64"}]
    assert admit(given).files[0].content == content


FAULTS: list[tuple[Any, str, str]] = [
    ("x", "files", "list"),
    ([1], "files.0", "dictionary"),
    ([{"name": "a"}], "files.0.content", "required"),
    ([{"name": "a", "content": "", "mode": 7}], "files.0.mode", "a field"),
    ([{"name": "a", "content": "", "encoding": "utf-16"}], "files.0.encoding", "'base64'"),
    ([{"name": "a", "content": "\ud800"}], "files.0.content", "surrogate"),
    ([{"name": "../a", "content": ""}], "files.0.name", "'..'"),
    ([{"name": "a\0", "content": ""}], "files.0.name", "NUL"),
    ([{"name": "a", "content": ""}, {"name": "main.py", "content": ""}], "files.1.name", "main.py"),
    ([{"name": "a", "content": ""}, {"name": "a/b", "content": ""}], "files.1.name", "folder"),
    ([{"name": str(n), "content": ""} for n in range(101)], "files", "at most 100"),
    *(
        ([{"name": "a", "content": bad, "encoding": "base64"}], "files.0.content", "base64")
        for bad in ("YQ", "YQ=", "YQ==YQ==", "Y\nQ==", "Y-_=", "=", "é", "YQ==" + "A" * SLICE)
    ),
]


@pytest.mark.parametrize(("files", "field", "word"), FAULTS, ids=range(len(FAULTS)))
def test_each_fault_is_named_with_what_is_allowed(files: Any, field: str, word: str) -> None:
    with pytest.raises(Refusal) as caught:
        admit(files)
    (problem, *_) = caught.value.problems
    assert caught.value.kind is Kind.MALFORMED
    assert (problem.name, word in problem.allowed) == (field, True), problem


def test_together_they_are_bounded() -> None:
    text = {"name": "a", "content": "x" * (FILES_BYTES - 3)}
    more = {"name": "b", "content": encoded(b"xyz"), "encoding": "base64"}
    assert sum(each.size for each in admit([text, more]).files) == FILES_BYTES
    for one_more, encoding in (("w", "utf8"), ("é" * MIB, "utf8"), (encoded(b"w"), "base64")):
        with pytest.raises(Refusal, match="at most 16777216") as caught:
            admit([text, more, {"name": "c", "content": one_more, "encoding": encoding}])
        assert caught.value.kind is Kind.TOO_LARGE


def test_they_must_fit_into_the_task_s_disk() -> None:
    files = [{"name": str(n), "content": "x"} for n in range(10)]
    assert admit(files, limits={"disk_bytes": 40960}).files
    with pytest.raises(Refusal, match="disk_bytes"):
        admit(files, limits={"disk_bytes": 40959})


def test_fresh_is_an_option_everywhere_and_files_of_json_alone() -> None:
    assert admit([], fresh=True).fresh
    assert admit_query(b"code=1&fresh=true", POLICY).task.fresh
    assert not admit_query(b"code=1", POLICY).task.fresh
    with pytest.raises(Refusal, match="files"):
        admit_query(b"code=1&files=x", POLICY)
