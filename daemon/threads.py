"""Work beside the reactor, on a pool of our own: the reactor's is for name resolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

P = ParamSpec("P")
T = TypeVar("T")


def in_thread(
    reactor: Any, pool: ThreadPool, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> Deferred[T]:
    """Call a function in the pool; fires with what it returns."""
    return deferToThreadPool(reactor, pool, function, *args, **kwargs)


class PoolService(Service):
    """Starts and stops a small thread pool with its parent."""

    def __init__(self, threads: int, name: str) -> None:
        self.pool = ThreadPool(minthreads=0, maxthreads=threads, name=name)

    def startService(self) -> None:
        """Start the pool."""
        super().startService()
        self.pool.start()

    def stopService(self) -> None:
        """Stop it; what it does is short, so waiting here is."""
        super().stopService()
        self.pool.stop()
