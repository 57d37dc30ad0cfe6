"""A checker over real children, for a while."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import psutil
from twisted.internet import reactor as installed

from runyard.worker.formats.checker import Checker
from runyard.worker.formats.confine import Bounds
from runyard.worker.formats.process import CheckingChild
from runyard.worker.sandbox.runtimes import task_account

reactor: Any = installed


class RealChecker:
    """An asynchronous context: a checker whose children can be looked at."""

    def __init__(self, **options: Any) -> None:
        account = options.pop("account", task_account())
        ids = {} if account is None else {"uid": account.uid, "gid": account.gid}
        more = {name: options.pop(name) for name in ("memory_bytes", "cpu_s") if name in options}
        self._bounds = Bounds(**ids, **more)
        self.children: list[CheckingChild] = []
        self.said: list[dict[str, Any]] = []
        self.checker = Checker(reactor, self._start, **options)

    def _start(self, heard: Any, gone: Any) -> CheckingChild:
        child = CheckingChild(reactor, self._bounds, partial(self._hear, heard), gone)
        self.children.append(child)
        return child

    def _hear(self, heard: Any, packet: dict[str, Any]) -> None:
        self.said.append(packet)
        heard(packet)

    def pids(self) -> list[int]:
        """List the processes that were started."""
        return [child.pid for child in self.children]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.checker.stop()
        assert not [pid for pid in self.pids() if psutil.pid_exists(pid)], "a child is left"
