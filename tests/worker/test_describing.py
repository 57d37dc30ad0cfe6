"""The hook's files in the interpreters of this machine: what they tell, and that nobody notices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from endings import ENDS, HOSTILE, SAY
from hooked import Bench, interpreters

OURS, *OTHERS = interpreters()
EACH = [OURS, *(pytest.param(each, marks=pytest.mark.slow) for each in OTHERS)]
MIXED = SAY + HOSTILE["text_of_a_class"]
SILENT = {
    "forked_alone", "exec", "closed_input", "input_is_output", "input_is_a_file",
    "no_exit_handlers", "no_file", "exit_texts", "frames_seen", "all_seen",
}  # fmt: skip


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def newest(python: Path, bench: Bench) -> tuple[int, ...]:
    found = bench.run(python, "import sys; print(*sys.version_info[:2])", hooked=False).stdout
    return tuple(int(each) for each in found.split())


@pytest.mark.parametrize("python", OTHERS, ids=str)
def test_each_interpreter_of_this_machine_tells(python: Path, bench: Bench) -> None:
    record = bench.alike(python, MIXED).record
    assert (record["type"], record["message"]) == ("ZeroDivisionError", "division by zero")
    assert record["frames"][-1]["function"] == "f"
    assert record["frames"][-1]["source"] == "def f(a): 1/0"
    assert record["frames"][-1]["locals"] == {"a": "<m.N object>"}


@pytest.mark.parametrize("python", EACH, ids=str)
@pytest.mark.parametrize("name", HOSTILE)
def test_no_code_of_a_program_is_run_to_describe_it(name: str, python: Path, bench: Bench) -> None:
    run = bench.alike(python, SAY + HOSTILE[name])
    assert run.status == 1
    record = run.record
    assert record["frames"], "the whole record, not the least one"
    assert "said" not in str(run.raw)


@pytest.mark.parametrize("python", EACH, ids=str)
@pytest.mark.parametrize("name", ENDS)
def test_no_program_can_tell_that_it_is_watched(name: str, python: Path, bench: Bench) -> None:
    run = bench.alike(python, SAY + ENDS[name])
    if name in SILENT:
        assert b"{" not in run.told
    else:
        assert run.record


@pytest.mark.parametrize("name", ["fork", "threads"])
def test_the_program_itself_is_told_apart_from_its_children_and_threads(
    name: str, bench: Bench
) -> None:
    record = bench.alike(OURS, SAY + ENDS[name]).record
    if name == "fork":
        assert record["type"] == "ValueError"
    else:
        assert "type" not in record
        assert [each["type"] for each in record["threads"]] == ["ZeroDivisionError"]


def told(bench: Bench, code: str, python: Path = OURS) -> dict[str, Any]:
    return bench.alike(python, code).record


def test_frames_are_told_innermost_last_with_their_variables(bench: Bench) -> None:
    code = (
        "def g(b):\n    c = {'k': [1, 'x']}\n    raise ValueError('no', b)\n"
        "def f(a):\n    g(a)\nf(7)"
    )
    record = told(bench, code)
    lines = [(each["line"], each["function"]) for each in record["frames"]]
    assert lines == [(6, "<module>"), (5, "f"), (3, "g")]
    assert record["line"] == 3
    assert record["message"] == "('no', 7)"
    assert record["frames"][-1]["locals"] == {"b": "7", "c": "{'k': [1, 'x']}"}
    assert record["frames"][-1]["source"] == "raise ValueError('no', b)"


def test_causes_and_contexts_are_told(bench: Bench) -> None:
    code = (
        "try:\n try: 1/0\n except Exception as e: raise KeyError('k') from e\n"
        "except Exception:\n [][0]"
    )
    record = told(bench, code)
    assert record["type"] == "IndexError"
    assert record["context"]["type"] == "KeyError"
    assert record["context"]["message"] == "'k'"
    assert record["context"]["cause"]["type"] == "ZeroDivisionError"
    hidden = told(bench, "try: 1/0\nexcept Exception: raise KeyError from None")
    assert "context" not in hidden


@pytest.mark.parametrize("python", EACH, ids=str)
def test_groups_are_told_with_their_parts(python: Path, bench: Bench) -> None:
    if newest(python, bench) < (3, 11):
        pytest.skip("exception groups came with 3.11")
    record = told(bench, "raise ExceptionGroup('some', [ValueError(1), TypeError('t')])", python)
    assert record["message"] == "some (2 sub-exceptions)"
    assert [each["type"] for each in record["exceptions"]] == ["ValueError", "TypeError"]


@pytest.mark.parametrize("python", EACH, ids=str)
@pytest.mark.parametrize(
    ("code", "kind", "line"),
    [
        ("x = 1\nprint('a'\n", "SyntaxError", None),
        ("if 1:\nx = 2\n", "IndentationError", 2),
        ("if 1:\n    x = 2\n\ty = 3\n", "TabError", 3),
        ("a b\n", "SyntaxError", 1),
        ("def f():\n  return\nclass +\n", "SyntaxError", 3),
    ],
)
def test_what_is_no_program_is_told_with_its_place(
    code: str, kind: str, line: int | None, python: Path, bench: Bench
) -> None:
    record = told(bench, code, python)
    assert record["type"] == kind
    assert record["frames"] == []
    assert record["lineno"] == record["line"]
    assert line in (None, record["lineno"])
    assert record["filename"].endswith("main.py")
    assert {"text", "offset"} & set(record)


@pytest.mark.parametrize("python", EACH, ids=str)
def test_a_thousand_frames_are_cut_to_the_innermost(python: Path, bench: Bench) -> None:
    record = told(bench, "def f(n):\n  return f(n + 1)\nf(0)", python)
    assert record["type"] == "RecursionError"
    assert len(record["frames"]) == 40
    assert record["frames_left_out"] > 900
    assert len(bench.run(python, "def f(n):\n  return f(n + 1)\nf(0)").told) < 24_100


@pytest.mark.parametrize("python", EACH, ids=str)
def test_a_program_out_of_memory_tells_so(python: Path, bench: Bench) -> None:
    code = (
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28))\n"
        "kept = []\nwhile True: kept.append(bytearray(1 << 20))"
    )
    run = bench.run(python, code)
    assert (run.status, run.record["type"]) == (1, "MemoryError")
    assert bench.alike(python, code.replace("1 << 20", "1 << 29")).record["frames"]


@pytest.mark.parametrize("python", EACH, ids=str)
def test_an_exception_out_of_asyncio_is_told(python: Path, bench: Bench) -> None:
    code = (
        "import asyncio\nasync def f():\n  await asyncio.sleep(0)\n  raise KeyError(3)\n"
        "asyncio.run(f())"
    )
    record = told(bench, code, python)
    assert (record["type"], record["message"], record["line"]) == ("KeyError", "3", 4)


@pytest.mark.parametrize("python", EACH, ids=str)
def test_large_and_deep_values_are_told_in_little(python: Path, bench: Bench) -> None:
    code = (
        "def f(*v): 1/0\n"
        "d = []\nfor _ in range(100000): d = [d]\n"
        "c = []; c.append(c)\n"
        "w = [[[['x' * 150] * 9] * 9] * 9] * 9\n"
        "f(d, c, w, 10 ** 9999, 'y' * 10**6, bytes(10**6), {i: w for i in range(999)})"
    )
    run = bench.run(python, code)
    assert run.status == 1
    variables = run.record["frames"][-1]["locals"]["v"]
    assert len(variables) <= 400
    assert len(run.told) < 6000


def test_a_program_with_a_path_of_its_own_keeps_it(bench: Bench, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "mine.py").write_text("x = 5")
    (theirs / "sitecustomize.py").write_text("import builtins; builtins.customized = __file__")
    code = (
        "import os, sys, mine\nprint(mine.x, customized, sys.path, os.environ['PYTHONPATH'])\n1/0"
    )
    run = bench.alike(OURS, code, env={"PYTHONPATH": str(theirs)})
    assert run.stdout.startswith(b"5 ")
    assert run.record["type"] == "ZeroDivisionError"


@pytest.mark.parametrize("text", ["1/0", "import not_there", "import sitecustomize.x"])
def test_a_site_s_own_file_that_fails_fails_as_ever(
    text: str, bench: Bench, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "sitecustomize.py").write_text(text)
    bench.alike(OURS, "print('on')", env={"PYTHONPATH": str(theirs)})


def test_input_is_read_to_its_end_and_no_further(bench: Bench) -> None:
    code = "import sys\ndata = sys.stdin.buffer.read()\nprint(len(data), data[-3:])\n1/0"
    run = bench.alike(OURS, code, stdin=b"abc" * 50_000)
    assert run.stdout == b"150000 b'abc'\n"
    assert run.record["line"] == 4
