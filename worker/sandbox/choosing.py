"""Which sandbox a worker runs: the best that this system was seen to give, or the one named."""

from __future__ import annotations

import os
import pwd
from typing import Any

from attrs import frozen
from twisted.logger import Logger
from twisted.python.usage import UsageError

from runyard.worker.jobs import JobsFolder
from runyard.worker.network.gateway import Gateway
from runyard.worker.sandbox.accounts import CHECKS, account_of, uid_base
from runyard.worker.sandbox.cleanup import clean_up
from runyard.worker.sandbox.instance import Instance
from runyard.worker.sandbox.interface import Sandbox
from runyard.worker.sandbox.jail.layout import hidden, refuse_wide
from runyard.worker.sandbox.jail.making import JailPlan
from runyard.worker.sandbox.jail.metering import Meters
from runyard.worker.sandbox.jail.sandbox import JailSandbox
from runyard.worker.sandbox.levels import (
    FULL,
    LEVELS,
    NAMESPACES,
    NONE,
    RESTRICTED,
    Probe,
    choose,
)
from runyard.worker.sandbox.plain import PlainSandbox
from runyard.worker.sandbox.probing import probe
from runyard.worker.sandbox.runtimes import Account, RuntimeUnusable, find_interpreters
from runyard.worker.sandbox.trying import Restricted

UNTRIED = Probe(frozenset({NONE}), {}, {})
PEOPLE = 1000
"""Uids below are of daemons, but for root's."""
PROXY, HOST = "proxy", "host"
NETWORKS = ("none", PROXY, HOST)

log = Logger()


@frozen
class Wishes:
    """What an operator asks for.

    Attributes:
        state: The worker's state folder.
        isolation: The level to use; None for the best.
        least: The least level to run at.
        python: Interpreters, as ``[NAME=]PATH``.
        task_folder: The folder of the operator's task files, or None.
        task_files: The same as (name, path).
        uid_base: The first slot's uid where the worker is root; None for some of our choice.
        network: What tasks may ask for: ``none``, ``proxy``, or ``host``, which no jail gives.
    """

    state: str
    slots: int
    isolation: str | None
    least: str
    python: tuple[str, ...]
    task_folder: str | None
    task_files: tuple[tuple[str, str], ...]
    uid_base: int | None
    preload: tuple[str, ...]
    network: str = "proxy"


def make_sandbox(
    reactor: Any, jobs: JobsFolder, account: Account | None, wishes: Wishes, gateway: Gateway
) -> Sandbox:
    """Find out what this system gives, and make the sandbox.

    Its tasks' ways out, where they may have any, are the gateway's.

    Raises:
        TooLittleIsolation: it gives less than is asked for.
        RuntimeUnusable: an interpreter cannot be used.
        InstanceUnusable: the state folder cannot be written to.
        UsageError: the slots' uids are somebody's, or tasks are to have the machine's network at
            a level that gives it to none.
    """
    clean_up(wishes.state)
    if wishes.isolation == NONE:
        _tell(UNTRIED, NONE, wishes)
        return _plain(reactor, jobs, account, wishes)
    folder = os.path.abspath(wishes.task_folder) if wishes.task_folder is not None else None
    interpreters = find_interpreters(list(wishes.python), None)
    refuse_wide(interpreters, [*homes(), os.path.realpath(wishes.state)])
    first = uid_base(wishes.uid_base)
    plan = JailPlan(interpreters, folder, first, wishes.preload)
    found, base = probe(plan) if wishes.isolation != RESTRICTED else (UNTRIED, None)
    if NAMESPACES not in found.proven:
        held = Restricted(account_of(first, account), wishes.python, wishes.task_files)
        found = found.tried(RESTRICTED, held.why_not)
    level = choose(found, wishes.least, wishes.isolation)
    refuse_host(wishes.network, level)
    _tell(found, level, wishes)
    if level in (FULL, NAMESPACES):
        unseen = hidden(interpreters)
        if unseen is not None:
            raise RuntimeUnusable(unseen)
        ways = gateway if wishes.network == PROXY else None
        instance = Instance(wishes.state) if level == FULL else None
        meters = Meters(reactor, base, instance) if instance and base else None
        return JailSandbox(reactor, wishes.slots, jobs, plan, meters, ways)
    if level == RESTRICTED:
        return held.sandbox(reactor, jobs, wishes.slots)
    return _plain(reactor, jobs, account, wishes)


def checks_account(wishes: Wishes, isolation: str, otherwise: Account | None) -> Account | None:
    """Give whom the checks of outputs run as: where tasks are confined, nobody else's uid."""
    base = uid_base(wishes.uid_base) if isolation != NONE else None
    return account_of(base + CHECKS if base is not None else None, otherwise)


def homes() -> list[str]:
    """List the folders of people, this process's user among them, where they are named."""
    people = [each for each in pwd.getpwall() if each.pw_uid == 0 or each.pw_uid >= PEOPLE]
    named = [*(each.pw_dir for each in people), os.environ.get("HOME", "")]
    return [os.path.realpath(each) for each in named if os.path.isabs(each)]


def refuse_host(network: str, level: str) -> None:
    """Refuse to give tasks the machine's own network where they are confined.

    Raises:
        UsageError: they are to have it.
    """
    if network != HOST or level == NONE:
        return
    why = (
        "its tasks have no network at all"
        if level == RESTRICTED
        else "a jail's network is its own;"
        " --network proxy with --network-allow opens what tasks need"
    )
    raise UsageError(f"--network host is not supported at level {level}: {why}")


def _plain(reactor: Any, jobs: JobsFolder, account: Account | None, wishes: Wishes) -> PlainSandbox:
    interpreters = find_interpreters(list(wishes.python), account)
    return PlainSandbox(
        reactor, wishes.slots, jobs, interpreters, account, wishes.task_files,
        network=wishes.network != "none",
    )  # fmt: skip


def _tell(found: Probe, level: str, wishes: Wishes) -> None:
    """Say what stops each better level, and which options do nothing at this one."""
    better = LEVELS[: LEVELS.index(level)] if wishes.isolation is None else ()
    for why in dict.fromkeys(found.missing[each] for each in better if each in found.missing):
        log.warn("{why}", why=why)
    if wishes.preload and level in (RESTRICTED, NONE):
        log.warn("--preload has no effect at isolation {isolation!r}", isolation=level)
