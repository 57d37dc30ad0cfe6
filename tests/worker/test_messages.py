"""What is told of the commonest exceptions is what the interpreter prints of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hooked import Bench, interpreters

OURS, *OTHERS = interpreters()
EACH = [OURS, *(pytest.param(each, marks=pytest.mark.slow) for each in OTHERS)]
COMMON = {
    "name": "x",
    "local": "def f():\n    y\n    y = 1\nf()",
    "attribute": "None.foo",
    "attribute of a module": "import sys\nsys.foo",
    "raised name": "raise NameError('it is so')",
    "raised attribute": "raise AttributeError('it', 2)",
    "raised value": 'raise ValueError("it\'s so")',
    "import": "import nothing_here",
    "import from": "from os import nothing_here",
    "index": "[][1]",
    "key": "{}['k']",
    "type": "1 + 'a'",
    "file": "open('/nothing/here')",
    "text": "b'\\xff'.decode()",
    "empty": "raise RuntimeError",
    "recursion": "def f(): f()\nf()",
}


@pytest.mark.parametrize("python", EACH, ids=str)
@pytest.mark.parametrize("name", COMMON)
def test_the_message_is_the_printed_one(name: str, python: Path, bench: Bench) -> None:
    run = bench.alike(python, COMMON[name])
    kind, message = run.record["type"], run.record["message"]
    last = run.stderr.decode().strip().splitlines()[-1]
    printed, _, said = last.partition(": ")
    assert printed == kind
    assert said.startswith(message)  # "Did you mean" may follow
    assert bool(said) == bool(message)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
