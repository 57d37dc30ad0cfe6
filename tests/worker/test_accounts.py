"""Which uids a worker takes for its slots."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.python.usage import UsageError

from runyard.worker.sandbox import accounts
from runyard.worker.sandbox.accounts import (
    CHECKS,
    UID_BASE,
    UIDS_A_WORKER,
    WORKERS,
    draw,
    uid_base,
)
from runyard.worker.sandbox.runtimes import Account

WHOLE = [(0, 2**32 - 1)]
CONTAINER = [(0, 65536)]


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    accounts.drawn.cache_clear()


def namespace(monkeypatch: pytest.MonkeyPatch, given: list[tuple[int, int]]) -> None:
    monkeypatch.setattr(accounts, "ranges", lambda kind: given)


def test_uids_that_are_somebody_s_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    namespace(monkeypatch, WHOLE)
    monkeypatch.setattr(accounts, "subordinate", lambda: [("ann", 100000, 65536)])
    assert uid_base(200000) == 200000
    assert uid_base(165536) == 165536
    for overlapping in (100000, 165535, 98976, 99999):
        with pytest.raises(UsageError, match="/etc/subuid gives 100000 to 165535 to ann"):
            uid_base(overlapping)
    assert uid_base(100000 - UIDS_A_WORKER) == 97952
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert uid_base(100000) is None


@given(st.integers(0, WORKERS - 1), st.integers(0, WORKERS - 1))
def test_two_workers_have_no_uid_in_common(one: int, other: int) -> None:
    first = draw(WHOLE, WHOLE, lambda _: one)
    second = draw(WHOLE, WHOLE, lambda _: other)
    assert UID_BASE <= first < 2**31 - CHECKS
    assert one == other or abs(first - second) > CHECKS


@given(st.data())
def test_in_a_user_namespace_of_few_ids_some_of_those_are_taken(data: st.DataObject) -> None:
    found = draw(CONTAINER, CONTAINER, lambda below: data.draw(st.integers(0, below - 1)))
    assert found >= 65536 // 2
    assert found + CHECKS < 65536


def test_where_there_are_hardly_any_the_usual_ones_are_tried() -> None:
    assert draw([(0, 1)], [(0, 1)], lambda below: 0) == UID_BASE
    assert draw([], [], lambda below: 0) == UID_BASE
    assert draw(CONTAINER, [(0, 1)], lambda below: 0) == UID_BASE


def test_a_worker_draws_once_and_uids_that_are_not_there_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    namespace(monkeypatch, CONTAINER)
    monkeypatch.setattr(accounts, "subordinate", list)
    assert uid_base(None) == uid_base(None)
    assert uid_base(2000) == 2000
    for lacking in (65536, 65535, 0x70000000):
        with pytest.raises(UsageError, match=f"--uid-base {lacking}: this user namespace does not"):
            uid_base(lacking)


def test_a_uid_that_this_user_namespace_lacks_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "uid_map").write_text("         0     100000      65536\n")
    (tmp_path / "gid_map").write_text("         0     100000      65536\n")
    monkeypatch.setattr(accounts, "MAPS", str(tmp_path / "{}_map"))
    assert accounts.mapped(65535)
    assert not accounts.mapped(65536)
    nobody = Account("nobody", 65534, 65534)
    assert accounts.account_of(None, nobody) == nobody
    assert accounts.account_of(2**32 - 1, nobody) == nobody  # the one that no namespace has
    monkeypatch.setattr(accounts, "MAPS", str(tmp_path / "none_{}"))
    assert not accounts.mapped(1000)
