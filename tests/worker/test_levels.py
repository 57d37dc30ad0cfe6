"""Which level a worker runs at, and what it says where that is not to be had."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from attrs import evolve
from twisted.logger import capturedLogs, formatEvent

from runyard.worker.options import Options
from runyard.worker.sandbox import accounts, choosing, probing
from runyard.worker.sandbox.cgroups import finding
from runyard.worker.sandbox.cgroups import probing as trying
from runyard.worker.sandbox.cgroups.where import Base
from runyard.worker.sandbox.choosing import Wishes, checks_account, make_sandbox
from runyard.worker.sandbox.levels import (
    FULL,
    NAMESPACES,
    NONE,
    RESTRICTED,
    Probe,
    TooLittleIsolation,
    choose,
    slots_at,
)
from runyard.worker.sandbox.runtimes import Account

BARE = Probe(frozenset({NONE}), {NAMESPACES: "no jail", FULL: "no jail"}, {})
SPACES = Probe(frozenset({NAMESPACES, NONE}), {FULL: "no groups"}, {})
ALL = Probe(frozenset({FULL, NAMESPACES, NONE}), {}, {})
HELD = BARE.tried(RESTRICTED, None)
LACKED = BARE.tried(RESTRICTED, "no Landlock")


@pytest.mark.parametrize(
    ("probe", "least", "wanted", "level"),
    [
        (ALL, NAMESPACES, None, FULL),
        (ALL, NAMESPACES, NAMESPACES, NAMESPACES),
        (SPACES, NAMESPACES, None, NAMESPACES),
        (HELD, RESTRICTED, None, RESTRICTED),
        (HELD, NONE, None, RESTRICTED),
        (HELD, NONE, NONE, NONE),
        (LACKED, NONE, None, NONE),
    ],
)
def test_the_best_that_was_proven_is_chosen(
    probe: Probe, least: str, wanted: str | None, level: str
) -> None:
    assert choose(probe, least, wanted) == level


@pytest.mark.parametrize(
    ("probe", "least", "wanted", "said"),
    [
        (SPACES, FULL, None, ["no groups", "--min-isolation namespaces, or --allow-unsandboxed"]),
        (HELD, NAMESPACES, None, ["no jail", "--min-isolation restricted, or --allow"]),
        (LACKED, NAMESPACES, None, ["no jail\n  no Landlock\n", "less: --allow-unsandboxed"]),
        (LACKED, RESTRICTED, None, ["no Landlock\n", "less: --allow-unsandboxed"]),
        (ALL, FULL, NAMESPACES, ["'namespaces' is less than 'full'", "--min-isolation namespaces"]),
        (HELD, NAMESPACES, RESTRICTED, ["'restricted' is less than 'namespaces'"]),
        (LACKED, NAMESPACES, RESTRICTED, ["'restricted' is less than 'namespaces'"]),
        (ALL, NAMESPACES, NONE, ["'none' is less", "less: --allow-unsandboxed"]),
    ],
)
def test_with_less_than_asked_for_it_says_why_and_each_way_out(
    probe: Probe, least: str, wanted: str | None, said: list[str]
) -> None:
    with pytest.raises(TooLittleIsolation) as told:
        choose(probe, least, wanted)
    for each in said:
        assert each in str(told.value)


def test_without_namespaces_there_is_one_slot() -> None:
    assert [slots_at(level, 4) for level in (FULL, NAMESPACES, RESTRICTED, NONE)] == [4, 4, 1, 4]


@pytest.mark.parametrize(
    ("given", "least"),
    [
        ([], NAMESPACES),
        (["--isolation=restricted"], RESTRICTED),
        (["--isolation=restricted", "--min-isolation=full"], FULL),
        (["--min-isolation=restricted"], RESTRICTED),
        (["--allow-unsandboxed"], NONE),
    ],
)
def test_who_names_restricted_accepts_it(given: list[str], least: str) -> None:
    options = Options()
    options.parseOptions(given)
    assert options["min-isolation"] == least


USERNS = "/proc/sys/user/max_user_namespaces"
DEBIAN = "/proc/sys/kernel/unprivileged_userns_clone"
UBUNTU = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
OPEN = {USERNS: "96365", DEBIAN: "1", UBUNTU: "0"}


@pytest.mark.parametrize(
    ("path", "value", "way"),
    [
        (USERNS, "0", "sysctl -w user.max_user_namespaces"),
        (DEBIAN, "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        (UBUNTU, "1", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor"),
    ],
)
def test_the_switch_that_forbids_is_named_with_what_allows(
    monkeypatch: pytest.MonkeyPatch, path: str, value: str, way: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    ((named, told),) = probing.forbidding((OPEN | {path: value}).get)
    assert named == path
    assert told.startswith(way)
    assert probing.forbidding(OPEN.get) == []
    assert probing.forbidding(lambda path: None) == []


def test_root_needs_no_leave_but_a_number_of_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    closed = {USERNS: "0", DEBIAN: "0", UBUNTU: "1"}
    assert [path for path, _ in probing.forbidding(closed.get)] == [USERNS]


def wishes(base: int | None = None) -> Wishes:
    return Wishes("/nonexistent", 4, None, NAMESPACES, (), None, (), base, ())


def told_of(monkeypatch: pytest.MonkeyPatch, folder: Path, found: Probe, **more: Any) -> list[str]:
    """Give what the log says while a sandbox is chosen; none is made."""
    monkeypatch.setattr(choosing, "probe", lambda plan: (found, None))
    monkeypatch.setattr(choosing, "Restricted", lambda *_: Mock(why_not="no Landlock"))
    for name in ("JailSandbox", "PlainSandbox"):
        monkeypatch.setattr(choosing, name, Mock())
    asked = evolve(wishes(), state=str(folder), **more)
    with capturedLogs() as logged:
        make_sandbox(Mock(), Mock(), None, asked, Mock())
    return [str(formatEvent(each)) for each in logged]


def test_the_log_says_why_it_is_no_better_level(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert told_of(monkeypatch, tmp_path, ALL) == []
    assert told_of(monkeypatch, tmp_path, SPACES) == ["no groups"]
    assert told_of(monkeypatch, tmp_path, BARE, least=NONE) == ["no jail", "no Landlock"]
    assert told_of(monkeypatch, tmp_path, SPACES, isolation=NAMESPACES) == [], "it was asked for"


def test_the_log_names_options_that_do_nothing_at_the_level(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nothing = ["--preload has no effect at isolation 'none'"]
    given: dict[str, Any] = {"preload": ("json",), "least": NONE}
    assert told_of(monkeypatch, tmp_path, BARE, isolation=NONE, **given) == nothing
    assert told_of(monkeypatch, tmp_path, BARE, **given)[-1:] == nothing
    assert told_of(monkeypatch, tmp_path, ALL, **given) == []


def test_options_that_contradict_each_other_are_refused(capfd: pytest.CaptureFixture[str]) -> None:
    for least in (FULL, NAMESPACES, RESTRICTED):
        with pytest.raises(SystemExit):
            Options().parseOptions(["--allow-unsandboxed", f"--min-isolation={least}"])
        assert f"--min-isolation {least} does not: give one of them" in capfd.readouterr().err
    Options().parseOptions(["--allow-unsandboxed", "--min-isolation=none"])


def test_checks_have_a_uid_of_their_own_where_tasks_are_confined() -> None:
    nobody = Account("nobody", 65534, 65534)
    assert checks_account(wishes(0x60000000), NONE, nobody) == nobody
    if os.geteuid() == 0:
        uid = 0x60000000 + accounts.CHECKS
        assert checks_account(wishes(0x60000000), FULL, nobody) == Account(f"uid {uid}", uid, uid)


def test_no_two_probes_try_groups_of_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def tried(base: Base, name: str) -> trying.Found:
        names.append(name)
        return trying.Found(base, {})

    there = Base(1, {"memory": "/groups"})
    monkeypatch.setattr(finding, "look", lambda: (there, {}))
    monkeypatch.setattr(finding, "prepare", lambda base, pids: (base, {}))
    monkeypatch.setattr(trying, "probe", tried)
    for _ in range(3):
        probing.groups()
    assert len(set(names)) == 3
    assert all(name.startswith("runyard-probe-") for name in names)
