"""Which level a worker runs at, and what it says where that is not to be had."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from twisted.python.usage import UsageError

from runyard.worker.options import Options
from runyard.worker.sandbox import accounts, choosing, probing
from runyard.worker.sandbox.cgroups import finding
from runyard.worker.sandbox.cgroups import probing as trying
from runyard.worker.sandbox.cgroups.where import Base
from runyard.worker.sandbox.choosing import Wishes, checks_account, uid_base
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
        (ALL, FULL, NAMESPACES, ["'namespaces' is not to be had"]),
        (ALL, NAMESPACES, NONE, ["'none' is not to be had here"]),
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


def test_uids_that_are_somebody_s_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(choosing, "subordinate", lambda: [("ann", 100000, 65536)])
    assert uid_base(wishes(200000)) == 200000
    assert uid_base(wishes(165536)) == 165536
    for overlapping in (100000, 165535, 98976, 99999):
        with pytest.raises(UsageError, match="/etc/subuid gives 100000 to 165535 to ann"):
            uid_base(wishes(overlapping))
    assert uid_base(wishes(100000 - choosing.UIDS_A_WORKER)) == 97952
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert uid_base(wishes(100000)) is None


def test_two_workers_have_no_uid_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found = []
    for pid in (1, 2, choosing.WORKERS - 1, choosing.WORKERS):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        found.append(uid_base(wishes()))
    bases = [each for each in found if each is not None]
    assert len(set(bases)) == len(bases) == 4
    assert all(choosing.UID_BASE <= each < 2**31 - choosing.CHECKS for each in bases)
    assert min(b - a for a, b in zip(sorted(bases), sorted(bases)[1:], strict=False)) > 1024


def test_a_uid_that_this_user_namespace_lacks_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "uid_map").write_text("         0     100000      65536\n")
    (tmp_path / "gid_map").write_text("         0     100000      65536\n")
    maps = str(tmp_path / "{}_map")
    assert accounts.mapped(65535, maps)
    assert not accounts.mapped(65536, maps)
    assert not accounts.mapped(1000, str(tmp_path / "none_{}"))
    nobody = Account("nobody", 65534, 65534)
    assert accounts.account_of(None, nobody) == nobody
    assert accounts.account_of(2**32 - 1, nobody) == nobody  # the one that no namespace has


def test_checks_have_a_uid_of_their_own_where_tasks_are_confined() -> None:
    nobody = Account("nobody", 65534, 65534)
    assert checks_account(wishes(0x60000000), NONE, nobody) == nobody
    if os.geteuid() == 0:
        uid = 0x60000000 + choosing.CHECKS
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
