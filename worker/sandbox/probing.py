"""What isolation this system gives, found out by doing: a jail is made and attacked from inside."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from runyard.worker.sandbox.cgroups import finding
from runyard.worker.sandbox.cgroups import probing as trying
from runyard.worker.sandbox.cgroups.where import Base
from runyard.worker.sandbox.jail.direct import DirectJail, JailFailed, direct_jail
from runyard.worker.sandbox.jail.making import JailPlan
from runyard.worker.sandbox.levels import FULL, NAMESPACES, NONE, Probe
from runyard.worker.sandbox.runtimes import RuntimeUnusable

NEEDED = ("memory", "pids", "cpu")
READY_S = 20.0
ATTACK_S = 30.0
PRELOAD = "--preload "
"""How a zygote complains of a module (jail/zygote.py)."""
ATTACK = Path(__file__).parent / "jail" / "selfattack.py"
APPARMOR = (
    "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for"
    f" {sys.executable} that has 'userns,'"
)
CONTAINER = (
    "A container's defaults forbid it: its seccomp profile must allow clone, clone3, unshare, mount"
    " and pivot_root, and its /proc must not be masked"
)
SWITCHES = (
    ("/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=65536"),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "sysctl -w kernel.unprivileged_userns_clone=1",
    ),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", APPARMOR),
)
"""Files of the kernel's, the value that forbids user namespaces, and what allows them."""


def probe(plan: JailPlan) -> tuple[Probe, Base]:
    """Make a jail as the worker will, attack it from inside, and say what held.

    Beside it: where control groups can be made, and which controllers work.

    Raises:
        RuntimeUnusable: an interpreter or a module to preload cannot be used.
    """
    base, why_not = groups()
    try:
        breaches = attack(plan)
        why = f"the jail does not hold here: {'; '.join(breaches)}" if breaches else ""
    except (JailFailed, OSError) as error:
        _, preload, trouble = str(error).partition(PRELOAD)
        if preload:
            raise RuntimeUnusable(preload + trouble) from None
        why = f"no jail can be made here: {error}{''.join(ways_out())}"
    if why:
        return Probe(frozenset({NONE}), {NAMESPACES: why, FULL: why}, {"jail": why}), base
    if not why_not:
        return Probe(frozenset({FULL, NAMESPACES, NONE}), {}, {"jail": "holds"}), base
    reasons = "; ".join(f"{name}: {reason}" for name, reason in why_not.items())
    why = f"isolation 'full' needs control groups, which this worker cannot make: {reasons}"
    mechanisms = {"jail": "holds", "cgroups": reasons}
    return Probe(frozenset({NAMESPACES, NONE}), {FULL: why}, mechanisms), base


def groups() -> tuple[Base, dict[str, str]]:
    """Find where control groups can be made; beside it, why a controller that is needed has none.

    In version 2 this process may move to a group of its own (cgroups/finding.py).
    """
    base, why_not = finding.look()
    wanted = {name: why_not.get(name, "there is none") for name in NEEDED}
    if set(NEEDED) & set(base.folders):
        base, more = finding.prepare(base, [os.getpid()])
        # What a probe leaves that is killed is in nobody's way: a pid would come again.
        found = trying.probe(base, f"runyard-probe-{secrets.token_hex(8)}")
        base, wanted = found.base, wanted | more | found.why_not
    return base, {n: why for n, why in wanted.items() if n in NEEDED and n not in base.folders}


def ways_out() -> list[str]:
    """Say what forbids jails on this system, and how to allow them, a line each."""
    found = [f"\n  {path} forbids it; allow it by: {way}" for path, way in forbidding(_read)]
    return found or ([f"\n  {CONTAINER}"] if in_container() or filtered(_read) else [])


def attack(plan: JailPlan) -> list[str]:
    """Run the self-attack in a jail; what it got through to, a text each.

    Raises:
        JailFailed, OSError: there is no jail to attack.
    """
    with (
        tempfile.TemporaryDirectory(prefix="runyard-probe-") as folder,
        tempfile.TemporaryFile() as log,
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        Path(folder).chmod(0o711)
        secret = Path(folder) / "secret"
        secret.write_text("secret")
        plan.prepare(Path(folder))
        told = plan.layout(Path(folder))
        zygote = plan.zygote(0) | {"groups": []}
        port = str(listening.getsockname()[1])
        args = (str(secret), str(os.getpid()), port)
        with direct_jail(told, zygote, log, READY_S) as jail:
            seen = jail.run(plan.probe_order(args), ATTACK.read_bytes(), ATTACK_S)
            if seen.status != 0:
                raise JailFailed(
                    f"the self-attack ended with status {seen.status}:"
                    f" {seen.stderr.decode('utf-8', 'replace')[-500:]}"
                )
            try_interpreters(jail, plan)
            return seen.stdout.decode("utf-8", "replace").splitlines()


def try_interpreters(jail: DirectJail, plan: JailPlan) -> None:
    """Run a program by each of the interpreters that tasks may name.

    Raises:
        RuntimeUnusable: one does not run in the jail.
    """
    for each in plan.interpreters:
        if each is plan.default:
            continue
        why = ""
        try:
            seen = jail.run(plan.probe_order(language=each.name), b"print('runs')", ATTACK_S)
            why = seen.stderr.decode("utf-8", "replace")[-500:] or f"status {seen.status}"
            if seen.stdout == b"runs\n":
                continue
        except JailFailed as error:
            why = str(error)
        raise RuntimeUnusable(f"{each.name}: {each.path} does not run in a jail: {why}")


def forbidding(read: Callable[[str], str | None]) -> list[tuple[str, str]]:
    """Name the switches of this system that forbid user namespaces, with the way out of each."""
    found = []
    for path, forbids, way in SWITCHES:
        if read(path) == forbids:
            found.append((path, way))
    return found if os.geteuid() != 0 else [each for each in found if "max_user" in each[0]]


def in_container() -> bool:
    """Whether this looks like a container: Docker's and Podman's marks, and Kubernetes'."""
    marks = ("/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io")
    return any(Path(each).exists() for each in marks)


def filtered(read: Callable[[str], str | None]) -> bool:
    """Whether a seccomp filter holds this process, as a container's default profile does."""
    status = read("/proc/self/status") or ""
    return "\nSeccomp:\t2" in status


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
