"""Odd ends of programs, through HTTP: each is decided, and told as docs/verdicts.md says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from harness import System, system
from quickly import quick_of

IGNORES_ALL = """
import signal, time
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
print('up')
while True: time.sleep(60)
"""
C_CALL = "def work():\n    return len(str(7 ** 10 ** 9))\n\nwork()"
CHILD_PAST_CPU = """
import subprocess, sys
done = subprocess.run([sys.executable, '-c', 'while True: pass'])
print(done.returncode)
"""
CAUGHT_CPU = """
import signal, sys
signal.signal(signal.SIGXCPU, lambda *_: sys.exit(3))
while True: pass
"""
SIGPIPE = """
import os, signal
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
read_end, write_end = os.pipe()
os.close(read_end)
os.write(write_end, b'x')
"""
THREAD = "import threading; t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()"
DAEMON = "import threading as t, time; t.Thread(target=time.sleep, args=(60,), daemon=True).start()"
EXEC = "import os; print(1); os.execv('/bin/sh', ['sh', '-c', 'echo two; exit 4'])"
LOST_AT_EXEC = "import os; os.execv('/bin/sh', ['sh', '-c', 'kill -9 $$'])"
STOPPED = "import os, signal; print('so far'); os.kill(os.getpid(), signal.SIGSTOP)"
FILE_SIZE = "open('x', 'wb').write(bytes(20 << 20))"
MEMORY = "x = bytearray(1 << 40)"

Want = tuple[str | None, int | None, str | None]
OK: Want = (None, 0, None)
ENDS: dict[str, tuple[str, Want]] = {
    "os._exit": ("import os; print(1); os._exit(7)", ("exit_code", 7, None)),
    "os._exit(0)": ("import os; print(1); os._exit(0)", OK),
    "sys.exit(text)": ("import sys; sys.exit('why')", ("exit_code", 1, None)),
    "sys.exit(object)": ("import sys; sys.exit([1])", ("exit_code", 1, None)),
    "sys.exit()": ("import sys; sys.exit()", OK),
    "code 1": ("import sys; sys.exit(1)", ("exit_code", 1, None)),
    "code 256": ("import sys; sys.exit(256)", OK),
    "code 300": ("import sys; sys.exit(300)", ("exit_code", 44, None)),
    "code -1": ("import sys; sys.exit(-1)", ("exit_code", 255, None)),
    "code 2**63": ("import sys; sys.exit(2 ** 63)", ("exit_code", 255, None)),
    "exception": ("1 / 0", ("exception", 1, None)),
    "after one": ("try: 1 / 0\nexcept ArithmeticError: exit(1)", ("exit_code", 1, None)),
    "ctrl-c": ("raise KeyboardInterrupt", ("signal", None, "SIGINT")),
    "syntax": ("print(1)\ndef f(:", ("syntax_error", 1, None)),
    "indent": ("if 1:\nprint(1)", ("syntax_error", 1, None)),
    "syntax in eval": ("eval('1 +')", ("exception", 1, None)),
    "abort": ("import os; os.abort()", ("signal", None, "SIGABRT")),
    "killed": ("import os; os.kill(os.getpid(), 9)", ("signal", None, "SIGKILL")),
    "terminated": ("import os; os.kill(os.getpid(), 15)", ("signal", None, "SIGTERM")),
    "broken pipe": (SIGPIPE, ("signal", None, "SIGPIPE")),
    "broken pipe, caught": (SIGPIPE.replace("SIG_DFL", "SIG_IGN"), ("exception", 1, None)),
    "a thread": (THREAD, OK),
    "a daemon thread": (DAEMON, OK),
    "at exit": ("import atexit; atexit.register(lambda: 1 / 0)", OK),
    "closed stdout": ("import sys; sys.stdout.close()", OK),
    "printed to closed": ("import sys; sys.stdout.close(); print(1)", ("exception", 1, None)),
    "exec": (EXEC, ("exit_code", 4, None)),
    "killed after exec": (LOST_AT_EXEC, ("signal", None, "SIGKILL")),
    "too much memory": (MEMORY, ("exception", 1, None)),
    "too large a file": (FILE_SIZE, ("exception", 1, None)),
}


@pytest.fixture(scope="module")
def runyard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with system(tmp_path_factory.mktemp("ends") / "s", "--slots=2") as running:
        yield running


def ends(runyard: System, code: str, **options: Any) -> tuple[dict[str, Any], Want]:
    document = runyard.run(code, **options)
    assert (document["outcome"] == "success") is (document["reason"] is None)
    assert document["outcome"] in ("success", "runtime_error")
    assert len(document["attempts"]) == 1, "what a program does is not run again"
    return document, (document["reason"], document["exit_code"], document["signal"])


@pytest.mark.parametrize("name", quick_of(ENDS, "code 300", "ctrl-c", "syntax", "exec", "at exit"))
def test_an_end_by_itself(runyard: System, name: str) -> None:
    code, wanted = ENDS[name]
    document, seen = ends(runyard, code)
    assert seen == wanted
    assert document["limit"] is None
    told = document["error"] is not None and "type" in document["error"]
    assert told is (wanted[0] in ("exception", "syntax_error") or name == "ctrl-c")


def test_the_words_of_an_exception_are_the_detail_s(runyard: System) -> None:
    document, _ = ends(runyard, MEMORY)
    assert document["detail"] == "It raised MemoryError (line 1)."
    document, _ = ends(runyard, "x = 1\nraise ValueError('odd')")
    assert document["detail"] == "It raised ValueError: odd (line 2)."
    assert document["error"]["frames"][-1]["source"] == "raise ValueError('odd')"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("print('15', end='')", "15"),
        ("import os; os.write(1, b'a\\xffb')", "a\ufffdb"),
        ("import os, sys; print(1); os.write(1, b'2'); sys.stdout.write('3')", "1\n23"),
    ],
)
def test_output_is_what_was_written(runyard: System, code: str, text: str) -> None:
    document, seen = ends(runyard, code)
    assert (document["stdout"], seen) == (text, OK)
    assert document.get("stdout_base64") == ("Yf9i" if "\ufffd" in text else None)


def test_a_dying_process_leaves_no_core(runyard: System) -> None:
    code = (
        "import os, resource, subprocess, sys\nprint(resource.getrlimit(4))\n"
        "subprocess.run([sys.executable, '-c', 'import os; os.abort()'])\n"
        "print(*sorted(os.listdir()))"
    )
    document, _ = ends(runyard, code)
    limit, listed = document["stdout"].splitlines()
    assert limit == "(0, 0)"
    assert listed == "main.py"


TIMED: dict[str, tuple[str, str, list[str]]] = {
    "stopped": (STOPPED, "so far\n", []),
    "ignores everything": (IGNORES_ALL, "up\n", []),
    "in a C call": (C_CALL, "", ["<module>", "work"]),
    "after exec": ("import os; os.execv('/bin/sleep', ['sleep', '60'])", "", []),
    "writes to the end": ("import time\nprint(1)\ntime.sleep(60)", "1\n", ["<module>"]),
}


@pytest.mark.parametrize("name", quick_of(TIMED, "stopped", "in a C call"))
def test_the_wall_limit_ends_it_whatever_it_does(runyard: System, name: str) -> None:
    code, written, functions = TIMED[name]
    document, seen = ends(runyard, code, timeout=1)
    assert seen == ("timeout", None, "SIGKILL")
    limit = document["limit"]
    assert (limit["name"], limit["allowed"]) == ("wall_s", 1)
    assert 1 <= limit["measured"] < 10
    assert document["stdout"] == written, "what it wrote is kept"
    error = document["error"]
    assert [frame["function"] for frame in error["frames"]] == functions if functions else not error


CAPPED: dict[str, str] = {
    "ends well": "import os\nos.write(1, b'x' * 6000)\nos._exit(0)",
    "raises": "import os\nos.write(1, b'x' * 6000)\n1 / 0",
    "goes on": "while True: print('x' * 100)",
    "stderr": "import os\nos.write(2, b'x' * 6000)",
}


@pytest.mark.parametrize("name", CAPPED)
def test_output_past_the_cap_is_never_a_success(runyard: System, name: str) -> None:
    document = runyard.run(CAPPED[name], limits={"output_bytes": 5000})
    assert (document["outcome"], document["reason"]) == ("runtime_error", "output_limit")
    limit = document["limit"]
    assert (limit["name"], limit["allowed"]) == ("output_bytes", 5000)
    assert limit["measured"] > 5000
    stream = "stderr" if name == "stderr" else "stdout"
    assert document[f"{stream}_truncated"] is True
    assert len(document[stream]) == 5000


CPU: dict[str, tuple[str, Want]] = {
    "its own": ("while True: pass", ("cpu_limit", None, "SIGXCPU")),
    "ignored": (
        "import signal\nsignal.signal(24, signal.SIG_IGN)\nwhile True: pass",
        ("cpu_limit", None, "SIGKILL"),
    ),
    "caught": (CAUGHT_CPU, ("exit_code", 3, None)),
    "a child's": (CHILD_PAST_CPU, OK),
}


@pytest.mark.parametrize("name", quick_of(CPU, "its own"))
def test_processor_time_is_limited_for_each_process(runyard: System, name: str) -> None:
    code, wanted = CPU[name]
    document, seen = ends(runyard, code, limits={"cpu_s": 1, "wall_s": 30})
    assert seen == wanted
    assert document["usage"]["cpu_s"] >= 0.9, "a child's counts too"
    if wanted[0] == "cpu_limit":
        assert document["limit"]["allowed"] == 1
        assert document["limit"]["measured"] >= 0.9


def test_of_two_limits_at_once_the_one_that_ended_it_is_told(runyard: System) -> None:
    document, (reason, _, signal_name) = ends(
        runyard, "while True: pass", limits={"cpu_s": 1, "wall_s": 1}
    )
    assert (reason, signal_name) in (("cpu_limit", "SIGXCPU"), ("timeout", "SIGKILL"))
    assert document["limit"]["name"] == {"cpu_limit": "cpu_s", "timeout": "wall_s"}[reason or ""]
