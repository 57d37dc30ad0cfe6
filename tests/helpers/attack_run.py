"""Runs attacks in one slot of a sandbox while a victim runs in the other, inside an outer box.

Judged are: what the attack got and how it ended, the processes that must outlive it, what is left
of it on the machine, its neighbour, and the next task of the same slot.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attack_ground import MARKER, SECRET, Bait, Subject, View, look
from attack_kinds import FOLDER, MIB, Attack, Seen, wrong_in
from attrs import define, frozen
from box import inside_box
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from runyard.protocols.errors import Refused
from runyard.protocols.limits import Limits
from runyard.protocols.tasks import Ended, Reason
from runyard.worker.executor import Executor
from runyard.worker.sandbox.interface import Job

CENSUS = (FOLDER / "peers" / "census.py").read_bytes()
VICTIM = (FOLDER / "peers" / "victim.py").read_bytes()
PATIENCE_S = 10.0
SETTLED_S = 0.3
VICTIM_S = 300.0


@frozen
class Result:
    """What came of one attack: what is wrong (nothing is right), and how it ended."""

    name: str
    wrong: tuple[str, ...]
    ended: str
    took_s: float


@define
class Victim:
    """The task in the other slot, as it is seen from here."""

    attempt: str
    offset: int = 0
    ended: Ended | None = None


class Arena:
    """A sandbox with a victim in one slot, ready for attacks in the other.

    Raises:
        RuntimeError: this process is in no outer box.
    """

    def __init__(self, reactor: Any, subject: Subject, folder: Path, secret: str) -> None:
        if not inside_box():
            raise RuntimeError("attacks run inside an outer box only")
        self._reactor = reactor
        self._subject = subject
        self._secret = secret
        self._bait = Bait(reactor, folder, secret)
        self._executor = Executor(reactor, subject.sandbox, 2)
        self._restricted = subject.sandbox.isolation == "restricted"
        """One slot, so no neighbour; no file system of its own, so no inodes to count."""
        self._serial = 0
        self._victim = Victim("")
        self._census: list[str] = []
        self._before = look()

    async def open(self) -> None:
        """Start the victim, and take a census of a slot in which nothing has run."""
        if not self._restricted:
            await self._meet()
        self._census = await self._count()
        again = await self._count()
        assert again == self._census, (
            f"the census is not stable: {_differences(self._census, again)}"
        )
        self._before = await self._settled()

    async def close(self) -> None:
        """End the victim and the bait; the sandbox is its owner's to stop."""
        self._executor.stop_all(Reason.ASKED)
        await self._executor.when_idle()
        await self._bait.close()

    async def attack(self, attack: Attack) -> Result:
        """Run one attack and judge it."""
        keepers, recycled = self._subject.keepers(), self._subject.recycled()
        seen = await self._see(attack)
        level = self._subject.sandbox.isolation
        wrong = wrong_in(attack, seen, level, self._secret.encode())
        before, self._census = self._census, await self._count()
        wrong += [f"next task: {each}" for each in _differences(before, self._census)]
        wrong += await self._neighbour()
        wrong += await self._around()
        visits = self._bait.taken()
        wrong += [f"{visits} connections to the outside came"] * (
            visits > 0 and level in attack.holds
        )
        if self._subject.recycled() == recycled and self._subject.keepers() != keepers:
            wrong.append(f"helpers changed: {sorted(keepers)} {sorted(self._subject.keepers())}")
        return Result(attack.name, tuple(wrong), seen.ended, round(seen.took_s, 3))

    async def _see(self, attack: Attack) -> Seen:
        began = time.monotonic()
        env = (*self._bait.env, *attack.env)
        limits = Limits(wall_s=attack.wall_s, cpu_s=30, **attack.limits)  # type: ignore[arg-type]
        marker = f"{MARKER}{attack.name}"
        ended = await self._task(
            attack.code(), limits, (marker,), env, attack.stdin, network=attack.network
        )
        took = time.monotonic() - began
        usage = ended.usage
        return Seen(
            (ended.reason or ended.outcome).value, ended.detail, ended.stdout, ended.stderr,
            usage.wall_s if usage else 0.0, usage.cpu_s if usage else 0.0, took,
        )  # fmt: skip

    async def _count(self) -> list[str]:
        limits = Limits(wall_s=20, output_bytes=4 * MIB)
        ended = await self._task(CENSUS, limits, ("census",), self._bait.env, b"")
        text = ended.stdout.decode("utf-8", "replace") + ended.stderr.decode("utf-8", "replace")
        if not text.endswith("counted\n"):
            text += f"ended as {ended.reason or ended.outcome}: {ended.detail}\n"
        lines = text.splitlines()
        return [each for each in lines if not (self._restricted and each.startswith("inodes"))]

    async def _meet(self) -> None:
        self._victim = Victim("")
        victim = self._victim

        def ended(end: Ended) -> None:
            victim.ended = end

        limits = Limits(wall_s=VICTIM_S, cpu_s=VICTIM_S)
        victim.attempt = await self._begin(VICTIM, limits, ("victim",), (), b"", ended)
        await self._ticks()

    async def _ticks(self) -> bytes:
        """Wait until the victim has looked at itself once more, and give what it said since."""
        running = self._executor.running(self._victim.attempt)
        if running is None:
            return b""
        said = b""
        until = time.monotonic() + PATIENCE_S
        while not said.endswith(b"\n") and time.monotonic() < until and self._victim.ended is None:
            piece, _ = running.output("stdout", self._victim.offset, 64 * 1024)
            self._victim.offset += len(piece)
            said += piece
            if not piece:
                await deferLater(self._reactor, 0.01)
        return said

    async def _neighbour(self) -> list[str]:
        if self._restricted:
            return []
        said = await self._ticks()  # this may end with what it said while the attack still ran
        said += await self._ticks()
        ended = self._victim.ended
        if ended is not None:
            await self._meet()
            return [f"the neighbour ended: {ended.reason} {ended.detail} {ended.stderr[-300:]!r}"]
        wrong = [line.decode("utf-8", "replace") for line in said.splitlines() if line != b"ok"]
        return [f"the neighbour: {line}" for line in wrong[:3]] or (
            [] if said else ["the neighbour says nothing"]
        )

    async def _settled(self) -> View:
        """Look around when the sandbox has made itself ready for the next task."""
        view, until = look(), time.monotonic() + PATIENCE_S
        while True:
            await deferLater(self._reactor, SETTLED_S)
            now = look()
            if now == view or time.monotonic() > until:
                return now
            view = now

    async def _around(self) -> list[str]:
        """Wait until the box looks as before, as far as it does."""
        until = time.monotonic() + PATIENCE_S
        while left := _left(self._before, look()):
            if time.monotonic() > until:
                return left
            await deferLater(self._reactor, 0.02)
        return []

    async def _task(
        self,
        code: bytes,
        limits: Limits,
        args: tuple[str, ...],
        env: tuple[tuple[str, str], ...],
        stdin: bytes,
        *,
        network: bool = False,
    ) -> Ended:
        done: Deferred[Ended] = Deferred()
        await self._begin(code, limits, args, env, stdin, done.callback, network=network)
        return await done

    async def _begin(
        self, code: bytes, limits: Limits, args: tuple[str, ...], env: tuple[tuple[str, str], ...],
        stdin: bytes, ended: Callable[[Ended], None], *, network: bool = False,
    ) -> str:  # fmt: skip
        self._serial += 1
        attempt = f"a{self._serial}.1"
        job = Job(attempt, "python", code, stdin, args, env, limits, lease=600.0, network=network)
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._executor.execute(job, lambda: None, ended)
            except Refused:
                if time.monotonic() > until:
                    raise
                await deferLater(self._reactor, 0.02)
            else:
                return job.attempt


def _differences(before: list[str], after: list[str]) -> list[str]:
    pairs = difflib.ndiff(before, after)
    return [line[:300] for line in pairs if line[:2] in ("- ", "+ ")][:6]


def _left(before: View, now: View) -> list[str]:
    wrong = [f"a process is left: {each}" for each in now.marked]
    if now.processes > before.processes:
        wrong.append(f"there are {now.processes} processes, before {before.processes}")
    if now.mounts != before.mounts:
        wrong.append(f"there are {now.mounts} mounts, before {before.mounts}")
    if now.groups != before.groups:
        wrong.append(f"groups changed: {sorted(set(now.groups) ^ set(before.groups))}")
    return wrong


__all__ = ["SECRET", "Arena", "Result"]
