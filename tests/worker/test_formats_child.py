"""Checks by the real child, none of them hostile."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest_twisted
from checking import RealChecker
from harness import eventually
from twisted.internet.defer import gatherResults

from runyard.protocols.formats import SCHEMA, Format
from runyard.worker.formats.process import PROGRAM, import_path
from runyard.worker.formats.verdicts import Problem

JSON = Format("json")
LOG_LINE = b'fetching page 1 ...\n{"rows": 3}\n'


def limits_of(pid: int) -> dict[str, str]:
    """Give the hard limits that a child sets for itself."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    names = (
        "Max file size",
        "Max core file size",
        "Max open files",
        "Max address",
        "Max processes",
    )
    return {line[:26].strip(): line[26:].split()[1] for line in lines if line.startswith(names)}


def status_of(pid: int) -> dict[str, str]:
    """Give what privileges a child has."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    pairs = (
        line.partition(":\t")[::2]
        for line in lines
        if line.startswith(("CapEff", "CapPrm", "NoNew"))
    )
    return dict(pairs)


@pytest_twisted.ensureDeferred
async def test_a_log_line_before_the_json_is_named_by_its_line() -> None:
    async with RealChecker() as real:
        verdict = await real.checker.check(JSON, LOG_LINE)
        message = 'line 1, column 1: expected a JSON value, found "fetching page 1 ..."'
        assert verdict.problems == (Problem("$", message),)
        assert (verdict.ok, verdict.failed, verdict.more) == (False, None, 0)


@pytest_twisted.ensureDeferred
async def test_a_schema_and_an_output_arrive_whole_whatever_is_in_them() -> None:
    async with RealChecker() as real:
        wanted = Format(SCHEMA, '{"properties": {"海": {"const": "é"}}, "required": ["海"]}')
        assert (await real.checker.check(wanted, '{"海": "é"}'.encode())).ok
        verdict = await real.checker.check(wanted, '{"海": "\\ud800\\u0000"}'.encode())
        assert verdict.problems[0].path == '$["海"]'
        assert (await real.checker.check_schema(wanted)).ok
        verdict = await real.checker.check_schema(Format(SCHEMA, '{"required": ["a", "a"]}'))
        assert verdict.problems[0].path == "$.required"
        long = b'["' + "海".encode() * 700_000 + b'", 1' * 2 + b"]"
        assert not (await real.checker.check(JSON, long)).ok


@pytest_twisted.ensureDeferred
async def test_the_longest_verdict_comes_through() -> None:
    async with RealChecker() as real:
        name = "\U0001f600" * 70
        value = [{name: {name: {name: "\U0001f600" * 500}}}] * 25
        for _ in range(3):
            value = [value]  # type: ignore[list-item]
        wanted = Format(
            SCHEMA,
            json.dumps(
                {
                    "$ref": "#/$defs/a",
                    "$defs": {
                        "a": {
                            "type": ["array", "object"],
                            "items": {"$ref": "#/$defs/a"},
                            "additionalProperties": {"$ref": "#/$defs/a"},
                        }
                    },
                }
            ),
        )
        verdict = await real.checker.check(wanted, json.dumps(value).encode())
        assert (len(verdict.problems), verdict.more, verdict.failed) == (20, 5, None)
        assert all(len(p.path) <= 200 and len(p.message) <= 200 for p in verdict.problems)


@pytest_twisted.ensureDeferred
async def test_fifty_checks_at_once_are_all_answered_by_two_children() -> None:
    async with RealChecker() as real:
        outputs = [b"1" if n % 2 else b"x" for n in range(50)]
        verdicts = await gatherResults([real.checker.check(JSON, each) for each in outputs])
        assert [verdict.ok for verdict in verdicts] == [n % 2 == 1 for n in range(50)]
        assert len(real.children) == 2


@pytest_twisted.ensureDeferred
async def test_a_killed_child_heals() -> None:
    async with RealChecker(children=1) as real:
        assert (await real.checker.check(JSON, b"1")).ok
        os.kill(real.pids()[0], signal.SIGKILL)
        assert (await real.checker.check(JSON, b"2")).ok
        os.kill(real.pids()[-1], signal.SIGSTOP)  # now it is killed while it has a check
        waiting = real.checker.check(JSON, b"3")
        os.kill(real.pids()[-1], signal.SIGKILL)
        assert (await waiting).ok
        assert len(real.children) == 3


@pytest_twisted.ensureDeferred
async def test_a_child_has_given_up_what_it_does_not_need() -> None:
    async with RealChecker(children=1) as real:
        await real.checker.check(JSON, b"1")
        (pid,) = real.pids()
        process = psutil.Process(pid)
        if os.geteuid() == 0:
            assert set(process.uids()) == {65534}
            assert process.gids().real == 65534
            assert real.said[0]["network"] is False
            ours, its = (os.readlink(f"/proc/{n}/ns/net") for n in ("self", pid))
            assert ours != its
        assert status_of(pid) == {"CapEff": "0" * 16, "CapPrm": "0" * 16, "NoNewPrivs": "1"}
        assert limits_of(pid) == {
            "Max file size": "0", "Max core file size": "0", "Max open files": "16",
            "Max address space": str(1024**3), "Max processes": "0",
        }  # fmt: skip
        assert len(os.listdir(f"/proc/{pid}/fd")) == 5  # its socket, and its own /proc/self/statm


@pytest_twisted.ensureDeferred
async def test_a_child_that_stays_who_it_is_has_no_privileges_either() -> None:
    async with RealChecker(children=1, account=None) as real:
        assert (await real.checker.check(JSON, b"1")).ok
        status = status_of(real.pids()[0])
        assert status == {"CapEff": "0" * 16, "CapPrm": "0" * 16, "NoNewPrivs": "1"}


@pytest_twisted.ensureDeferred
async def test_a_child_s_memory_is_bounded_and_the_next_check_works() -> None:
    async with RealChecker(children=1, memory_bytes=128 * 1024**2) as real:
        output = b"[" + b"[]," * 1_500_000 + b"[]]"
        verdict = await real.checker.check(JSON, output)
        assert verdict.failed == "the check needs more memory than it is given"
        assert (await real.checker.check(JSON, b"1")).ok


def test_a_child_imports_from_the_packages_folders_alone(tmp_path: Path) -> None:
    path = import_path()
    assert all(os.path.isabs(each) for each in path)
    assert str(tmp_path) not in path
    assert PROGRAM.is_file()
    assert len(path) <= 3, (path, sys.path)


WORKER = """
import sys
from twisted.internet import reactor
from runyard.protocols.formats import Format
from runyard.worker.formats.making import make_checker

checker = make_checker(reactor, None, wall_s=300, children=1)
evil = Format("schema", '{"pattern": "^(a+)+$"}')
checker.check(Format("json"), b"1").addCallback(
    lambda verdict: checker.check(evil, b'"%sb"' % (b"a" * 60))
    and reactor.callLater(0, lambda: print(verdict.ok, flush=True))
)
reactor.run()
"""


def has_ended(process: psutil.Process) -> bool:
    """Whether it runs no more; where other tests made us a subreaper, it is left to us."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    return not process.is_running()


def test_a_child_ends_with_its_worker_in_the_middle_of_a_check() -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE, cwd="/")
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"True\n"
        (child,) = psutil.Process(worker.pid).children()
        eventually("it is busy", lambda: child.cpu_times().user > 0.3)
    finally:
        worker.kill()
        worker.communicate()
    eventually("the child is gone", lambda: has_ended(child))
